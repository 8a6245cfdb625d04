"""What a plan sees in annotated volumes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from funlib.geometry import Coordinate

from dacapo.arrays import Array
from dacapo.experiments.datasplits.datasets import Dataset
from dacapo.planning import fingerprint as module
from dacapo.planning.fingerprint import fingerprint


def dataset(gt: Any, voxel_size: tuple[int, ...] = (10, 10, 10), **more: Any) -> Dataset:
    size, zero = Coordinate(1000 * v for v in voxel_size), Coordinate((0,) * len(voxel_size))
    raw = more.pop("raw", np.zeros(gt.shape, np.uint8))
    mask = more.pop("mask", None)
    known = None if mask is None else Array(mask, size, zero, "nm")
    return Dataset(
        more.pop("name", "a"), Array(raw, size, zero, "nm"), Array(gt, size, zero, "nm"), known,
        intensity_range=(0.0, 255.0), **more,
    )  # fmt: skip


def boxes() -> np.ndarray:
    """Two boxes of 6 voxels with 2 voxels of background between them, in the middle."""
    labels = np.zeros((20, 20, 20), np.uint64)
    labels[7:13, 7:13, 3:9] = 2**62
    labels[7:13, 7:13, 11:17] = 7
    return labels


def test_objects_on_background() -> None:
    found = fingerprint([dataset(boxes())])
    assert found.ids == {2**62: 216, 7: 216}
    assert found.labelled == pytest.approx(432 / 8000)
    assert found.touching == 0
    assert found.pieces == 1
    assert found.volume == 216
    assert found.thickness == pytest.approx((60, 60, 60))  # 3 voxels deep on either side
    assert (found.voxel_size, found.unit, found.shape) == ((10, 10, 10), "nm", (20, 20, 20))


def test_thickness_is_measured_in_world_units() -> None:
    found = fingerprint([dataset(boxes(), (40, 10, 10))])
    assert found.thickness == pytest.approx((60, 60, 60))  # along x and y, not along z
    assert found.anisotropy == 4


def test_objects_that_fill_the_volume_touch() -> None:
    labels = np.ones((8, 8, 8), np.uint8)
    labels[4:] = 2
    found = fingerprint([dataset(labels)])
    assert found.touching == 1
    assert found.labelled == 1


def test_what_is_not_annotated_does_not_count() -> None:
    labels, mask = boxes(), np.ones((20, 20, 20), np.uint8)
    mask[:, :, 10:] = 0
    found = fingerprint([dataset(labels, mask=mask)])
    assert list(found.ids) == [2**62]
    assert found.annotated == 0.5
    assert found.labelled == pytest.approx(216 / 4000)


def test_a_face_to_what_is_not_annotated_is_no_surface() -> None:
    labels, mask = np.ones((8, 8, 8), np.uint8), np.ones((8, 8, 8), np.uint8)
    labels[4:], labels[6:], mask[6:] = 2, 3, 0
    found = fingerprint([dataset(labels, mask=mask)])
    assert found.touching == 1
    assert set(found.ids) == {1, 2}


def test_pieces_tell_classes_from_objects() -> None:
    labels = np.zeros((1, 30, 30), np.uint8)
    labels[0, 2::6, 2::6] = 1
    labels[0, 4::6, 4::6] = 2
    assert fingerprint([dataset(labels)]).pieces == 25


def test_fragments_do_not_decide_what_is_typical() -> None:
    labels = boxes()
    labels[0, 0, :10:2] = np.arange(100, 105)
    found = fingerprint([dataset(labels)])
    assert (found.num_fragments, found.num_objects, found.volume) == (5, 2, 216)


def test_equal_ids_in_two_volumes_are_two_objects() -> None:
    found = fingerprint([dataset(boxes(), name="a"), dataset(boxes(), name="b")])
    assert found.num_volumes == 2
    assert len(found.sizes) == 4
    assert found.ids == {2**62: 432, 7: 432}


@pytest.mark.parametrize(("begin", "end"), [(0, 3), (17, 20)])
def test_a_slab_without_labels_at_an_end(begin: int, end: int) -> None:
    labels = np.ones((4, 5, 20), np.uint8)
    labels[:, :, begin:end] = 0
    assert fingerprint([dataset(labels)]).empty == (2, begin, end)


def test_a_volume_without_labels() -> None:
    found = fingerprint([dataset(np.zeros((4, 4, 4), np.uint8))])
    assert (found.ids, found.labelled, found.touching) == ({}, 0, 0)
    assert np.isnan(found.thickness).all()


def test_a_large_volume_is_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_WHOLE", 1000)
    monkeypatch.setattr(module, "_EDGE", 10)
    found = fingerprint([dataset(boxes())])
    assert found.is_sampled
    assert set(found.ids) <= {2**62, 7}


def test_few_bright_voxels_on_a_dark_ground() -> None:
    raw = np.full((20, 20, 20), 5, np.uint8)
    raw[boxes() > 0] = 200
    assert fingerprint([dataset(boxes(), raw=raw)]).is_bright_on_dark
    assert not fingerprint([dataset(boxes(), raw=255 - raw)]).is_bright_on_dark
