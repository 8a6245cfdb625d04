from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import label

from dacapo.ops.components import components, keep_large, without_small


@pytest.mark.parametrize("shape", [(12, 13), (6, 7, 8)])
def test_agrees_with_scipy(shape: tuple[int, ...]) -> None:
    mask = np.random.default_rng(0).random(shape) < 0.4
    ours, (theirs, count) = components(mask), label(mask)
    pairs = np.unique(np.stack([ours[mask], theirs[mask]]), axis=1)
    assert pairs.shape[1] == ours.max() == count
    assert (ours[~mask] == 0).all()


@pytest.mark.parametrize("min_size", [0, 1, 2, 4, 1000])
def test_small_parts_go(min_size: int) -> None:
    mask = np.random.default_rng(1).random((20, 20)) < 0.4
    labels, count = label(mask)
    expected = np.zeros_like(mask)
    for part in range(1, count + 1):
        if (labels == part).sum() >= min_size:
            expected |= labels == part
    assert np.array_equal(without_small(mask, min_size), expected)
    assert np.array_equal(keep_large(labels, min_size) != 0, expected)


def test_nothing() -> None:
    assert components(np.zeros((3, 3), bool)).max() == 0
    assert not without_small(np.zeros((3, 3), bool), 5).any()
