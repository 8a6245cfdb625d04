from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage.segmentation import watershed

from dacapo.ops.watershed import seeded_watershed


@pytest.mark.parametrize("shape", [(40, 44), (14, 18, 20)])
@pytest.mark.parametrize("seed", range(4))
def test_agrees_with_scikit_image_without_ties(shape: tuple[int, ...], seed: int) -> None:
    rng = np.random.default_rng(seed)
    # Every voxel has a level of its own among the 65,536, so the order is not a matter of choice.
    size = int(np.prod(shape))
    smooth = gaussian_filter(rng.normal(size=shape), 1.5)
    interior = smooth.reshape(-1).argsort().argsort().reshape(shape) * (65535 / (size - 1))
    seeds = np.zeros(shape, np.int32)
    places = rng.choice(size, 12, replace=False)
    seeds.reshape(-1)[places] = np.arange(1, 13)
    mask = smooth > -0.1
    ours = seeded_watershed(interior, seeds, mask)
    theirs = watershed(-interior, seeds, mask=mask, connectivity=1)
    assert np.array_equal(ours, theirs)
    assert len(np.unique(ours)) > 5


def test_a_valley_parts_two_hills() -> None:
    interior = np.array([[3, 2, 1, 2, 3, 3.0]])
    seeds = np.array([[1, 0, 0, 0, 0, 2]])
    assert seeded_watershed(interior, seeds, np.ones((1, 6)))[0].tolist()[:2] == [1, 1]
    assert seeded_watershed(interior, seeds, np.ones((1, 6)))[0].tolist()[3:] == [2, 2, 2]


def test_what_no_seed_reaches_stays_empty() -> None:
    mask = np.array([[1, 1, 0, 1, 1]])
    assert seeded_watershed(np.ones((1, 5)), np.array([[7, 0, 0, 0, 0]]), mask).tolist() == [
        [7, 7, 0, 0, 0]
    ]


def test_nothing_to_fill() -> None:
    assert not seeded_watershed(np.ones((3, 3)), np.ones((3, 3), int), np.zeros((3, 3))).any()
