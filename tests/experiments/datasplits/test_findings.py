"""Labels that cannot be what they are used for are refused before a run trains on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from funlib.geometry import Coordinate
from scipy.ndimage import gaussian_filter

from dacapo.arrays import Array, open_array
from dacapo.errors import InputError
from dacapo.experiments.datasplits.datasets import Dataset
from dacapo.experiments.datasplits.findings import (
    check_labels,
    inspect_labels,
    unused_ignore_label,
)
from dacapo.ops.synthetic import tissue
from tests.conftest import DATA as REAL

MADE = tissue((70, 48, 48), (8, 8, 8), 10.0, 0.05, (0, 0))
SIZE, CORNER = Coordinate(8, 8, 8), Coordinate(0, 0, 0)


def dataset(labels: Any, **more: Any) -> Dataset:
    raw = Array(MADE.raw, SIZE, CORNER, name="raw")
    return Dataset("a", raw, Array(np.asarray(labels), SIZE, CORNER, name="gt"), **more)


def test_cells_are_labels() -> None:
    for labels in (MADE.cells, MADE.cells.astype(np.int64), MADE.cells.astype(np.uint64) * 2**40):
        check_labels([dataset(labels)], are_objects=True)


def test_negative_ids_need_a_meaning() -> None:
    labels = MADE.cells.astype(np.int64)
    labels[:20] = -1
    with pytest.raises(InputError, match=r"has the id -1: .* set datasplit.ignore_label=-1"):
        check_labels([dataset(labels)], are_objects=True)
    check_labels([dataset(labels, ignore_label=-1)], are_objects=True)
    with pytest.raises(InputError, match="has the id -1"):
        check_labels([dataset(labels)], are_objects=False)


def test_raw_and_labels_that_were_swapped() -> None:
    with pytest.raises(InputError, match="as in an image: are raw and gt swapped"):
        check_labels([dataset(MADE.raw)], are_objects=True)
    noise = np.random.default_rng(0).normal(size=MADE.raw.shape)
    smooth = (gaussian_filter(noise, 2) * 2000 + 5000).astype(np.uint16)
    with pytest.raises(InputError, match="swapped"):
        check_labels([dataset(smooth)], are_objects=False)


def test_one_id_everywhere_is_no_instance_segmentation() -> None:
    ones = np.ones_like(MADE.cells)
    with pytest.raises(InputError, match=r"gt is true or false, so it is a mask"):
        check_labels([dataset(ones.astype(bool))], are_objects=True)
    assert check_labels([dataset(ones.astype(bool))], are_objects=False) == []
    for labels in (ones, ones * 7):
        with pytest.raises(InputError, match=r"every annotated voxel of gt has the id \d, so"):
            check_labels([dataset(labels)], are_objects=True)
        check_labels([dataset(labels)], are_objects=False)
    ones[-1, -1, -1] = 2  # in a block that the sample may miss
    check_labels([dataset(ones)], are_objects=True)


def test_one_id_beside_background_is_odd() -> None:
    cell = (MADE.cells == MADE.cells[35, 24, 24]).astype(np.uint8)
    (odd,) = check_labels([dataset(cell)], are_objects=True)
    assert "have the id 1: if it is a mask of several objects" in odd
    assert odd in inspect_labels(dataset(cell), {}).warnings
    assert inspect_labels(dataset(cell), {"cell": [1]}).warnings == []


def test_inspect_says_what_train_refuses() -> None:
    (warning,) = inspect_labels(dataset(MADE.cells.astype(np.int32) * -1), {}).warnings[:1]
    assert "ids of objects are positive" in warning


def sparse(*places: tuple[int, int, int]) -> np.ndarray[Any, np.dtype[np.uint16]]:
    labels = np.zeros(MADE.cells.shape, np.uint16)
    for number, place in enumerate(places, 1):
        labels[place] = number
    return labels


RNG = np.random.default_rng(0)
DIAGONAL = np.zeros(MADE.cells.shape, np.uint16)
DIAGONAL[np.arange(48), np.arange(48), np.arange(48)] = 1


@pytest.mark.parametrize(
    "labels",
    [
        sparse((3, 4, 5)),
        sparse(*[tuple(RNG.integers(0, 48, 3)) for _ in range(2000)]),  # type: ignore[misc]
        DIAGONAL,
        (DIAGONAL + np.roll(DIAGONAL, 1, 1) * 2).astype(np.uint16),
        np.kron(np.arange(1, 35 * 24 * 24 + 1).reshape(35, 24, 24), np.ones((2, 2, 2), int)),
        np.where(MADE.cells % 7 == 0, MADE.cells, 0),
    ],
)
def test_points_lines_and_small_objects_are_labels(labels: Any) -> None:
    check_labels([dataset(labels)], are_objects=True)
    check_labels([dataset(labels)], are_objects=False)


def test_one_crop_within_one_cell_is_no_mistake() -> None:
    one = np.full_like(MADE.cells, 5)
    check_labels([dataset(one), dataset(MADE.cells)], are_objects=True)
    with pytest.raises(InputError, match="is it a mask"):
        check_labels([dataset(one), dataset(one)], are_objects=True)


REAL_FILES = sorted(REAL.glob("*.h5"))


@pytest.mark.skipif(not REAL_FILES, reason=f"needs the real volumes in {REAL}")
@pytest.mark.parametrize("path", REAL_FILES, ids=lambda p: p.stem)
def test_real_labels_pass_and_real_raw_does_not(path: Path) -> None:
    raw, gt = (open_array(f"{path}:{name}") for name in ("raw", "labels"))
    check_labels([Dataset("a", raw, gt)], are_objects=True)
    with pytest.raises(InputError, match="swapped"):
        check_labels([Dataset("a", raw, raw)], are_objects=False)


def test_an_ignore_label_that_no_volume_has() -> None:
    cells = np.maximum(MADE.cells, 1)
    half = cells.copy()
    half[30:] = 0
    assert unused_ignore_label([dataset(cells), dataset(half)]) == []
    both = [dataset(cells, ignore_label=0), dataset(half, ignore_label=0)]
    assert unused_ignore_label(both) == []
    (odd,) = unused_ignore_label(both[:1])
    assert odd == "ignore_label=0: no voxel of gt has it"
    assert unused_ignore_label([dataset(cells.astype(np.uint8), ignore_label=-1)])


def test_zeros_among_dense_objects_are_reported() -> None:
    half = MADE.cells.copy()
    half[40:] = 0
    *_, odd = inspect_labels(dataset(half), {}).warnings
    assert "objects are dense, but 43% of the voxels have the label 0" in odd
    scattered = np.where(MADE.cells % 8 == 0, MADE.cells, 0)
    for labels, classes, ignored in (
        (half, {}, 0),
        (half, {"cell": [1]}, None),
        (scattered, {}, None),
    ):
        found = inspect_labels(dataset(labels, ignore_label=ignored), classes).warnings
        assert not [warning for warning in found if "dense" in warning]
