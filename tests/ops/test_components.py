from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import label

from dacapo.ops.components import components, connected_voxels, keep_large, without_small


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


@pytest.mark.parametrize("share", [0.3, 0.8, 1.0])
@pytest.mark.parametrize("shape", [(12, 13), (6, 7, 8)])
def test_connected_voxels_agree_with_a_flood(shape: tuple[int, ...], share: float) -> None:
    to_next = np.random.default_rng(2).random((len(shape), *shape)) < share
    found, expected = connected_voxels(to_next), np.zeros(shape, int)
    for start in np.ndindex(shape):
        todo, number = [start], expected.max() + 1
        while todo:
            place = todo.pop()
            for axis in range(len(shape)):
                below = tuple(p - (a == axis) for a, p in enumerate(place))
                above = tuple(p + (a == axis) for a, p in enumerate(place))
                for near, connection in ((above, place), (below, below)):
                    if not all(0 <= p < s for p, s in zip(near, shape, strict=True)):
                        continue
                    if to_next[(axis, *connection)] and not expected[near]:
                        expected[place] = expected[near] = number
                        todo.append(near)
    np.testing.assert_array_equal(found != 0, expected != 0)
    pairs = np.unique(np.stack([found[found > 0], expected[found > 0]]), axis=1)
    assert pairs.shape[1] == found.max() == len(np.unique(expected[expected > 0]))


def test_nothing() -> None:
    assert connected_voxels(np.zeros((2, 3, 3), bool)).max() == 0
    assert components(np.zeros((3, 3), bool)).max() == 0
    assert not without_small(np.zeros((3, 3), bool), 5).any()
