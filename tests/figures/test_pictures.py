"""Regions that a picture ranks by how wrong they are."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import imagecodecs
import numpy as np
from funlib.geometry import Coordinate

from dacapo.arrays import Array
from dacapo.experiments.datasplits.datasets import Dataset
from dacapo.experiments.tasks.evaluators import InstanceEvaluator
from dacapo.figures.pictures import ShownVolumes, _regions, draw_regions, draw_sections

SHAPE = (4, 120, 180)


def shown(segmentation: Any, mask: Any = None) -> ShownVolumes:
    """Three objects of 60 columns each, in a volume that begins at 100 nm."""
    size, corner = Coordinate(40_000, 4_000, 4_000), Coordinate(0, 0, 100_000)
    where: Any = {"voxel_size": size, "offset": corner, "unit": "nm"}
    gt = np.broadcast_to(np.arange(180) // 60 + 1, SHAPE).copy()
    raw = np.random.default_rng(0).random(SHAPE, np.float32)
    known = None if mask is None else Array(mask, **where, name="mask")
    dataset = Dataset(
        "a", Array(raw, **where, name="raw"), Array(gt, **where, name="gt"), mask=known
    )
    prediction = np.zeros((1, *SHAPE), np.float32)
    return ShownVolumes.of(dataset, InstanceEvaluator(), prediction, ["p"], segmentation)


def test_regions_are_ranked_by_their_errors() -> None:
    segmentation = np.broadcast_to(np.arange(180) // 60 + 1, SHAPE).copy()
    segmentation[2, :, 120:150] = 9  # a part of the third object in one section
    segmentation[:, :10, :3] = 7
    best, median, worst = _regions(shown(segmentation))
    assert best.name.startswith("best region: 0% wrong")
    assert median.name.startswith("median region: 0% wrong")
    assert worst.name.startswith("worst region: 33% wrong")  # 30 of its 90 columns
    assert worst.name.endswith("z = 100, y = 352, x = 640 nm")
    assert worst.index == (2, slice(56, 120), slice(90, 180))
    pictures = [draw_sections(shown(segmentation), "a"), draw_regions(shown(segmentation), "a")]
    for png in pictures:
        assert png is not None
        assert imagecodecs.png_decode(BytesIO(png).read()).ndim == 3


def test_what_is_not_annotated_is_no_region() -> None:
    segmentation = np.zeros(SHAPE, np.int64)
    mask = np.zeros(SHAPE, np.uint8)
    mask[1, :30, :60] = 1
    assert _regions(shown(segmentation, mask)) == []
    assert draw_regions(shown(segmentation, mask), "a") is None
    mask[1] = 1
    assert {section.index[0] for section in _regions(shown(segmentation, mask))} == {1}
