from __future__ import annotations

import numpy as np
from funlib.geometry import Coordinate

from dacapo.arrays import Array
from dacapo.experiments.datasplits.datasets import Dataset
from dacapo.experiments.trainers.crops import CropSampler
from dacapo.ops.draws import generator

VOXEL = Coordinate(40, 10, 10)


def dataset(mask: np.ndarray | None, shape: tuple[int, ...] = (8, 70, 70)) -> Dataset:
    offset = Coordinate(400, 100, 0)
    raw = Array(np.zeros(shape, np.uint8), VOXEL, offset, name="raw")
    gt = Array(np.ones(shape, np.uint32), VOXEL, offset, name="gt")
    known = None if mask is None else Array(mask, VOXEL, offset, name="mask")
    return Dataset("a", raw, gt, known, intensity_range=(0, 255))


def test_every_crop_holds_an_annotated_voxel_and_lies_inside() -> None:
    mask = np.zeros((8, 70, 70), np.uint8)
    mask[2, 3, 4] = mask[7, 69, 69] = mask[5, 30:33, 31] = 1
    data = dataset(mask)
    sampler = CropSampler([data], Coordinate(4, 20, 20) * VOXEL)
    for i in range(300):
        crop = sampler.draw(generator(i))
        assert data.gt.roi.contains(crop.roi)
        assert data.read_mask(crop.roi).any()


def test_each_annotated_voxel_is_as_likely_as_another() -> None:
    mask = np.zeros((8, 70, 70), np.uint8)
    mask[0, 0, 0] = 1
    mask[7, 60, 40:43] = 1
    sampler = CropSampler([dataset(mask)], Coordinate(1, 1, 1) * VOXEL)
    begins = [sampler.draw(generator(i)).roi.begin for i in range(400)]
    corner = sum(b == (400, 100, 0) for b in begins)
    assert 60 < corner < 140  # 1 of 4


def test_a_crop_may_begin_anywhere() -> None:
    sampler = CropSampler([dataset(None)], Coordinate(4, 20, 20) * VOXEL)
    begins = np.array([sampler.draw(generator(i)).roi.begin for i in range(2000)])
    starts = (begins - [400, 100, 0]) // np.array(VOXEL)
    assert starts.min(0).tolist() == [0, 0, 0]
    assert starts.max(0).tolist() == [4, 50, 50]


def test_labels_smaller_than_a_crop_are_in_its_middle() -> None:
    data = dataset(None, (2, 70, 70))
    crop = CropSampler([data], Coordinate(4, 20, 20) * VOXEL).draw(generator(0))
    assert crop.roi.begin[0] == 400 - 40
    assert crop.roi.shape[0] == 160


def test_labels_finer_than_raw_whose_extent_is_no_multiple_of_raws_voxels() -> None:
    raw = Array(np.zeros((20, 20), np.uint8), Coordinate(8, 8), Coordinate(0, 0), name="raw")
    known = np.zeros((33, 33), np.uint8)
    known[-1] = 1
    size = Coordinate(4, 4)
    gt = Array(np.ones((33, 33), np.uint8), size, Coordinate(0, 0), name="gt")
    data = Dataset("a", raw, gt, Array(known, size, Coordinate(0, 0), name="mask"))
    sampler = CropSampler([data], Coordinate(32, 32))
    for i in range(50):
        crop = sampler.draw(generator(i))
        assert data.read_mask(crop.roi).any()
        assert all(b % 8 == 0 for b in crop.roi.begin)
