"""What crops hit, beside the simplest way to say the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from funlib.geometry import Coordinate

from dacapo.arrays import Array
from dacapo.errors import InputError
from dacapo.experiments.datasplits.datasets import Dataset
from dacapo.experiments.trainers.crops import Crop, CropSampler
from dacapo.experiments.trainers.label_blocks import LabelBlocks
from dacapo.ops.draws import generator

SIZE = Coordinate(2, 2, 2)
DRAWS = 3000


def dataset(gt: Any, mask: Any = None, name: str = "a", **more: Any) -> Dataset:
    gt = np.asarray(gt)
    zero = Coordinate((0,) * gt.ndim)
    one = zero + Coordinate((2,) * gt.ndim)
    raw = Array(np.zeros(gt.shape, np.uint8), one, zero, name="raw")
    known = None if mask is None else Array(np.asarray(mask), one, zero, name="mask")
    return Dataset(name, raw, Array(gt, one, zero, name="gt"), known, **more)


def voxel_crops(sampler: CropSampler, num: int = DRAWS) -> list[Crop]:
    """Crops of one voxel: what they hit is what was drawn."""
    return [sampler.draw(generator(0, i)) for i in range(num)]


def hits(crops: list[Crop]) -> dict[Any, float]:
    values = [int(c.dataset.read_gt(c.roi).item()) for c in crops]
    return {v: values.count(v) / len(values) for v in set(values)}


GT = np.zeros((40, 40, 40), np.uint64)
GT[:20] = 2**63 - 1  # half of the volume
GT[30:32, 30:32, 30:32] = 5


def test_objects_are_hit_alike_whatever_their_size() -> None:
    found = hits(voxel_crops(CropSampler([dataset(GT)], SIZE, "objects")))
    assert set(found) == {5, 2**63 - 1}
    assert abs(found[5] - 0.5) < 0.04


def test_objects_of_two_datasets_are_different_ones() -> None:
    crops = voxel_crops(CropSampler([dataset(GT), dataset(GT, name="b")], SIZE, "objects"))
    share = sum(c.dataset.name == "b" for c in crops) / len(crops)
    assert abs(share - 0.5) < 0.04


def test_classes_and_background_are_hit_alike() -> None:
    def masks(labels: Any) -> list[Any]:
        return [labels == 5, labels == 2**63 - 1]

    found = hits(voxel_crops(CropSampler([dataset(GT)], SIZE, "classes", masks, ["a", "b"])))
    assert all(abs(share - 1 / 3) < 0.04 for share in found.values())
    partly = dataset(GT, classes=["a"])  # neither class b nor background is certain there
    assert set(hits(voxel_crops(CropSampler([partly], SIZE, "classes", masks, ["a", "b"])))) == {5}


def test_what_is_not_annotated_is_never_hit() -> None:
    mask = (GT != 5).astype(np.uint8)
    for sampling in ("voxels", "objects"):
        assert 5 not in hits(voxel_crops(CropSampler([dataset(GT, mask)], SIZE, sampling)))


@pytest.mark.parametrize("shape", ["slice", "scribble", "points"])
def test_sparse_annotation(shape: str) -> None:
    gt = np.zeros((50, 60, 70), np.uint8)
    if shape == "slice":
        gt[17] = 1
    elif shape == "scribble":
        gt[25, 30, 10:50] = 1
    else:
        gt[[3, 44], [5, 50], [60, 7]] = 1
    sampler = CropSampler([dataset(gt, ignore_label=0)], SIZE * 16)
    for number in range(50):
        crop = sampler.draw(generator(0, number))
        assert crop.dataset.read_mask(crop.roi).any()


def test_points() -> None:
    points = np.array([[10, 10, 10], [70, 70, 70]])
    sampler = CropSampler([dataset(GT, sample_points=points)], SIZE * 4)
    seen = set()
    for crop in voxel_crops(sampler, 200):
        inside = [i for i, p in enumerate(points) if crop.roi.contains(Coordinate(p.tolist()))]
        assert len(inside) == 1
        seen.add(inside[0])
    assert seen == {0, 1}


def test_points_outside_are_refused() -> None:
    with pytest.raises(InputError, match="1 of 2 sample_points lie outside"):
        dataset(GT, sample_points=np.array([[1, 1, 1], [100, 1, 1]]))


def test_weights_of_datasets() -> None:
    both = [dataset(GT, sampling_weight=1.0), dataset(GT[:10], name="b", sampling_weight=3.0)]
    crops = voxel_crops(CropSampler(both, SIZE))
    assert abs(sum(c.dataset.name == "b" for c in crops) / len(crops) - 0.75) < 0.04
    with pytest.raises(InputError, match=r"datasplit.train.b.sampling_weight is missing"):
        CropSampler([both[0], dataset(GT, name="b")], SIZE)


@pytest.mark.parametrize("shape", [(70, 50, 40), (20, 90, 33)])
def test_a_crop_is_annotated_as_far_as_asked(shape: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(0)
    coarse = rng.random([-(-n // 10) for n in shape]) < 0.4
    mask = np.kron(coarse, np.ones((10, 10, 10)))[: shape[0], : shape[1], : shape[2]]
    data = dataset(np.ones(shape, np.uint8), mask.astype(np.uint8))
    size = SIZE * 24
    sampler = CropSampler([data], size, min_annotated=0.45)
    for crop in voxel_crops(sampler, 150):
        assert data.read_mask(crop.roi).mean() >= 0.45
    grid = LabelBlocks(data, size)
    counted = [data.read_mask(grid.about(b)).mean() for b in range(np.prod(grid._num))]
    assert np.allclose(grid._shares_annotated.ravel(), counted)


def test_too_much_asked() -> None:
    mask = np.zeros(GT.shape, np.uint8)
    mask[:5] = 1
    with pytest.raises(InputError, match=r"min_annotated=0.9: no crop of a .* at most 0.25"):
        CropSampler([dataset(GT, mask)], SIZE * 20, min_annotated=0.9)


def test_a_volume_of_10_tb_needs_no_reading_and_no_memory() -> None:
    class Vast:
        shape, dtype = (21544,) * 3, np.dtype(np.uint8)

        def __getitem__(self, index: Any) -> Any:
            raise AssertionError("voxels were read")

    one, zero = Coordinate(2, 2, 2), Coordinate(0, 0, 0)
    vast = Array(Vast(), one, zero, name="vast")
    sampler = CropSampler([Dataset("a", vast, vast)], SIZE * 64)
    places = np.array([list(sampler.draw(generator(0, i)).roi.begin) for i in range(200)])
    assert sampler._tables[0]._until.nbytes < 2**22
    assert np.allclose(places.mean(axis=0) / (2 * 21544), 0.5, atol=0.08)
