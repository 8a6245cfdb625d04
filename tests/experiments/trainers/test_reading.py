"""What is read for a sample, and what becomes of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from funlib.geometry import Coordinate, Roi

from dacapo.arrays import Array
from dacapo.arrays.views import flipped
from dacapo.experiments.datasplits.datasets import Dataset
from dacapo.experiments.tasks.predictors import AffinitiesPredictor
from dacapo.experiments.trainers import augments
from dacapo.experiments.trainers.augments import Augment
from dacapo.experiments.trainers.crops import CropSampler
from dacapo.experiments.trainers.reading import CropReader
from dacapo.experiments.trainers.samples import BatchMaker
from dacapo.experiments.trainers.trainer import SampleShape
from dacapo.ops.warp import Warp, rotation

CPU = torch.device("cpu")
EDGE, VOXEL = 40, Coordinate(4, 4, 4)
WARPS = [
    augments.Elastic(p=1, jitter=2.0, control_point_spacing=8.0),
    augments.Rotate(p=1),
    augments.Scale(p=1),
    augments.Shear(p=1),
]


class Counting:
    """A source of voxels that notes how much is read."""

    def __init__(self, data: np.ndarray) -> None:
        self.data, self.shape, self.dtype, self.read = data, data.shape, data.dtype, 0

    def __getitem__(self, index: Any) -> Any:
        found = self.data[index]
        self.read += found.size
        return found


def volume(dtype: Any = np.uint16, edge: int = EDGE) -> np.ndarray:
    """Blocks of 5^3 with ids of their own."""
    z, y, x = np.indices((edge,) * 3) // 5
    return (1 + (z * 8 + y) * 8 + x).astype(dtype)


def dataset(gt: np.ndarray, **more: Any) -> Dataset:
    zero = Coordinate(0, 0, 0)
    raw = Array(Counting((gt % 251).astype(np.uint8)), VOXEL, zero, name="raw")
    return Dataset("a", raw, Array(Counting(gt), VOXEL, zero, name="gt"), **more)


def maker(data: Dataset, warps: list[Augment], edge: int = 12) -> BatchMaker:
    shape = Coordinate((edge,) * 3)
    named = [(augment.config_key(), augment) for augment in warps]
    return BatchMaker(
        CropSampler([data], shape * VOXEL), AffinitiesPredictor([[1, 0, 0], [0, -2, 0]]),
        SampleShape(shape, VOXEL, shape, VOXEL), named, CPU, range(1),
    )  # fmt: skip


@pytest.mark.parametrize("warp", WARPS, ids=lambda a: type(a).__name__)
def test_all_that_a_warp_needs_is_read(warp: Augment) -> None:
    data = dataset(volume(edge=80))
    made = maker(data, [warp])
    inside = 0
    for number in range(40):
        sample, crop = made.sample(0, number, 0)
        distance = min(*crop.roi.begin, *(320 - end for end in crop.roi.end))
        if distance < 12 * 4:
            continue  # at the border some voxels are missing for good
        inside += 1
        assert (sample.mask != 0).all()
    assert inside > 2


def test_a_warped_crop_is_a_crop_of_the_warped_volume() -> None:
    """Raw and labels, of crops inside and at the border of the volume."""
    gt = volume()
    warp = Warp(rotation(3, (0, 2), 0.5))
    for begin in ((12, 12, 12), (-6, 20, 3)):
        roi = Roi(Coordinate(begin) * 4, Coordinate(16, 16, 16) * 4)
        data = dataset(gt)
        reader = CropReader(CPU, warp)
        labels, inside = reader.nearest(data.read_gt, data.gt.roi, roi, VOXEL)
        levels = tuple(map(torch.from_numpy, data.normalized_raw.levels))
        raw = reader.intensities(data.normalized_raw, roi, VOXEL, levels)
        low, box = warp.source_of((16, 16, 16), VOXEL)
        sides = [
            min(b + lo + n, EDGE) - max(b + lo, 0) for b, lo, n in zip(begin, low, box, strict=True)
        ]
        assert data.gt.source.read == np.prod(sides)  # type: ignore[attr-defined]
        half = 7.5
        for index in np.ndindex(16, 16, 16):
            at = warp.matrix @ (np.array(index) - half) + half + np.array(begin) + 0.5
            if np.abs(at - np.round(at)).min() < 1e-4:
                continue
            place = np.floor(at).astype(int)
            known = bool(((place >= 0) & (place < EDGE)).all())
            assert bool(inside[index]) == known
            assert labels[index] == (gt[tuple(place)] if known else 0)
        assert raw.shape == (1, 16, 16, 16)
        assert raw.isfinite().all()


def test_without_a_warp_a_crop_is_what_the_file_holds() -> None:
    gt = volume()
    data = dataset(gt, intensity_range=(50.0, 100.0))
    reader = CropReader(CPU, None)
    roi = Roi(Coordinate(-2, 10, 30) * 4, Coordinate(8, 8, 14) * 4)
    labels, inside = reader.nearest(data.read_gt, data.gt.roi, roi, VOXEL)
    expected = np.pad(gt, 4)[2:10, 14:22, 34:48]
    assert np.array_equal(labels.numpy(), expected)
    assert np.array_equal(inside.numpy(), expected != 0)
    levels = tuple(map(torch.from_numpy, data.normalized_raw.levels))
    raw = reader.intensities(data.normalized_raw, roi, VOXEL, levels)
    assert np.allclose(raw.numpy(), data.read_raw(roi), atol=1e-6)
    away = Roi(Coordinate(50, 50, 50) * 4, Coordinate(4, 4, 4) * 4)
    for found in (reader, CropReader(CPU, Warp(np.eye(3)))):
        nothing, known = found.nearest(data.read_gt, data.gt.roi, away, VOXEL)
        assert not nothing.any()
        assert not known.any()


@pytest.mark.parametrize("warps", [[], WARPS[:1]], ids=["plain", "warped"])
def test_what_is_not_annotated_never_counts(warps: list[Augment]) -> None:
    gt = volume()
    known = np.random.default_rng(0).random(gt.shape) < 0.5
    mask = Array(known.astype(np.uint8), VOXEL, Coordinate(0, 0, 0), name="mask")
    unmasked, masked = dataset(gt), dataset(gt, mask=mask)
    ignored = dataset(np.where(known, gt, 999).astype(np.uint16), ignore_label=999)
    for number in range(4):
        samples = [maker(d, warps).sample(0, number, 0) for d in (masked, ignored, unmasked)]
        (one, crop), (other, _), (whole, place) = samples
        assert one.mask.dtype == other.mask.dtype == torch.uint8
        assert torch.equal(one.mask, other.mask)
        assert torch.equal(one.gt, other.gt)
        assert 0 < one.mask.float().mean() < 1
        assert not one.gt[one.mask == 0].any()
        if crop.roi == place.roi:
            assert torch.equal(one.gt, whole.gt * one.mask)


@pytest.mark.parametrize("warps", [[], WARPS[:1]], ids=["plain", "warped"])
def test_the_weight_of_a_voxel_follows_its_label(warps: list[Augment]) -> None:
    gt = volume()
    weight = Array(gt.astype(np.float32), VOXEL, Coordinate(0, 0, 0), name="weight")
    sample, _ = maker(dataset(gt, weight=weight), warps).sample(0, 1, 0)
    assert sample.weight is not None
    assert torch.equal(sample.weight, sample.gt.float())


@pytest.mark.parametrize("warps", [[], WARPS[:1]], ids=["plain", "warped"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.uint64])
def test_targets_do_not_depend_on_the_type_of_the_labels(dtype: Any, warps: list[Augment]) -> None:
    small = volume() % 120
    one = maker(dataset(small), warps).batch(0, 3)
    other = maker(dataset(small.astype(dtype)), warps).batch(0, 3)
    for name in ("raw", "target", "weight"):
        assert torch.equal(getattr(one, name), getattr(other, name))


@pytest.mark.parametrize("warps", [[], WARPS[:1]], ids=["plain", "warped"])
@pytest.mark.parametrize("step", [2**32, 1, 2**40], ids=["int32", "float32", "both"])
def test_ids_that_collide_in_narrower_types_stay_apart(step: int, warps: list[Augment]) -> None:
    """Neighbouring objects have ids that are equal in float32, or in their low 32 bits."""
    small = volume(np.int64)
    raw = Array((small % 251).astype(np.uint8), VOXEL, Coordinate(0, 0, 0), name="raw")
    wide = (2**62 + small * step) if step == 1 else small * step + 7
    assert wide.max() <= 2**63 - 1
    batches = [
        maker(Dataset("a", raw, Array(gt, VOXEL, Coordinate(0, 0, 0), name="gt")), warps).batch(
            0, 3
        )
        for gt in (small, wide, wide.astype(np.uint64))
    ]
    assert 0 < batches[0].target.mean() < 1
    for other in batches[1:]:
        for name in ("raw", "target", "weight"):
            assert torch.equal(getattr(batches[0], name), getattr(other, name))


def test_files_stay_as_they_are() -> None:
    """Voxels that are held in memory are read in place."""
    gt = volume()
    zero = Coordinate(0, 0, 0)
    raw = np.random.default_rng(0).random(gt.shape).astype(np.float32)
    before = raw.copy(), gt.copy()
    data = Dataset("a", Array(raw, VOXEL, zero, name="raw"), Array(gt, VOXEL, zero, name="gt"))
    every = [
        cls(p=1) for name in augments.__all__
        if (cls := getattr(augments, name)) and name not in
        ("Augment", "Extent", "Sample", "Stage", "WarpAugment") and name != "Elastic"
    ]  # fmt: skip
    for chosen in ([], [a for a in every if not isinstance(a, augments.WarpAugment)], every):
        maker(data, chosen, edge=EDGE).batch(0, 0)
    assert np.array_equal(raw, before[0])
    assert np.array_equal(gt, before[1])


def test_labels_beside_the_box_of_a_warp_are_not_there() -> None:
    """None of them is taken to be one of the box."""
    gt = np.ones((3, 3, 3), np.uint8)
    zero = Coordinate(0, 0, 0)
    array = Array(gt, VOXEL, zero, name="gt")
    data = Dataset("a", Array(gt, VOXEL, zero, name="raw"), array)
    shift = np.full((3, 3, 3, 3), 16.0)
    for begin in ((0, 0, 0), (-1, -1, -1), (-17, -17, -17)):
        roi = Roi(Coordinate(begin) * 4, Coordinate(20, 20, 20) * 4)
        for warp in (Warp(np.eye(3), shift, 40.0), Warp(np.eye(3) / 2, shift * 0.4, 40.0)):
            labels, inside = CropReader(CPU, warp).nearest(data.read_gt, array.roi, roi, VOXEL)
            low, box = warp.source_of((20, 20, 20), VOXEL)
            touches = all(
                b + lo < 3 and b + lo + n > 0 for b, lo, n in zip(begin, low, box, strict=True)
            )
            assert touches or not inside.any()
            assert torch.equal(inside, labels)


def test_a_volume_of_one_section_that_is_stored_upside_down() -> None:
    class Anew(Counting):
        """Each read gives voxels of its own, as a file does."""

        def __getitem__(self, index: Any) -> Any:
            return self.data[index].copy()

    gt, zero = volume()[:1], Coordinate(0, 0, 0)
    arrays = [
        flipped(Array(Anew(voxels), VOXEL, zero, name=name), [0])
        for name, voxels in (("raw", (gt % 251).astype(np.uint8)), ("gt", gt))
    ]
    data = Dataset("a", *arrays)
    roi = Roi(zero, Coordinate(1, 12, 12) * 4)
    labels, _ = CropReader(CPU, None).nearest(data.read_gt, data.gt.roi, roi, VOXEL)
    assert np.array_equal(labels.numpy(), gt[:, :12, :12])
