from __future__ import annotations

import numpy as np
import pytest
from skimage.measure import label

from dacapo.ops.mutex_watershed import mutex_watershed, mutex_watershed_of_part
from dacapo.ops.overlap import overlap, variation_of_information


def slow(
    weights: np.ndarray,
    offsets: list[list[int]],
    strides: list[list[int]] | None = None,
    mask: np.ndarray | None = None,
) -> np.ndarray:
    """Sort all edges, merge sets of voxels, keep a set of forbidden pairs."""
    shape = weights.shape[1:]
    edges = []
    for channel, offset in enumerate(offsets):
        for place in np.ndindex(shape):
            other = tuple(p + o for p, o in zip(place, offset, strict=True))
            if not all(0 <= o < n for o, n in zip(other, shape, strict=True)):
                continue
            if strides and any(p % s for p, s in zip(place, strides[channel], strict=True)):
                continue
            if mask is not None and not (mask[place] and mask[other]):
                continue
            edges.append((weights[(channel, *place)], place, other))
    edges.sort(key=lambda e: -abs(e[0]))
    cluster = {p: i for i, p in enumerate(np.ndindex(shape))}
    forbidden: set[frozenset[int]] = set()
    for weight, a, b in edges:
        one, two = cluster[a], cluster[b]
        if one == two:
            continue
        if weight <= 0:
            forbidden.add(frozenset((one, two)))
        elif frozenset((one, two)) not in forbidden:
            cluster = {p: one if c == two else c for p, c in cluster.items()}
            forbidden = {frozenset(one if c == two else c for c in pair) for pair in forbidden}
    out = np.zeros(shape, int)
    for place, c in cluster.items():
        out[place] = 0 if mask is not None and not mask[place] else c + 1
    return out


def same_partition(a: np.ndarray, b: np.ndarray) -> bool:
    return variation_of_information(overlap(a, b)) == (0, 0) and np.array_equal(a == 0, b == 0)


def weights_without_ties(shape: tuple[int, ...], channels: int, seed: int) -> np.ndarray:
    """Magnitudes far enough apart to be told apart in 65,536 steps."""
    rng = np.random.default_rng(seed)
    size = channels * int(np.prod(shape))
    magnitude = rng.permutation(np.arange(1, size + 1)) / size
    sign = rng.choice([-1, 1, 1], size)
    return (magnitude * sign).reshape(channels, *shape).astype(np.float32)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("strides", [None, [[1, 1, 1]] * 3 + [[2, 1, 2]] * 2])
@pytest.mark.parametrize("masked", [False, True])
def test_agrees_with_the_slow_twin_in_3d(
    seed: int, strides: list[list[int]] | None, masked: bool
) -> None:
    shape = (4, 5, 5)
    offsets = [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, -2, 1], [3, 0, 0]]
    weights = weights_without_ties(shape, len(offsets), seed)
    mask = np.random.default_rng(seed).random(shape) < 0.8 if masked else None
    ours = mutex_watershed(weights, offsets, strides, mask)
    assert same_partition(ours, slow(weights, offsets, strides, mask))


@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_the_slow_twin_in_2d(seed: int) -> None:
    offsets = [[1, 0], [0, 1], [-3, 2]]
    weights = weights_without_ties((7, 8), 3, seed)
    assert same_partition(mutex_watershed(weights, offsets), slow(weights, offsets))


def test_only_attractive_edges_give_connected_components() -> None:
    rng = np.random.default_rng(0)
    foreground = rng.random((12, 12, 12)) < 0.4
    offsets = [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    ours = mutex_watershed(np.ones((3, 12, 12, 12), np.float32), offsets, mask=foreground)
    assert same_partition(ours, label(foreground, connectivity=1))


def test_no_attraction_leaves_every_voxel_alone() -> None:
    out = mutex_watershed(-np.ones((1, 3, 3), np.float32), [[1, 0]])
    assert sorted(out.ravel()) == list(range(1, 10))


@pytest.mark.parametrize("offset", [[9, 0], [0, -9]])
def test_an_offset_longer_than_the_volume_has_no_edges(offset: list[int]) -> None:
    out = mutex_watershed(np.ones((1, 3, 3), np.float32), [offset])
    assert len(np.unique(out)) == 9


def test_nothing_inside() -> None:
    out = mutex_watershed(np.ones((1, 3, 3), np.float32), [[1, 0]], mask=np.zeros((3, 3)))
    assert not out.any()


def test_large_enough_for_the_hash_table_to_grow() -> None:
    offsets = [[1, 0], [0, 1], [5, 0], [0, 5]]
    weights = np.random.default_rng(1).normal(size=(4, 150, 150)).astype(np.float32)
    out = mutex_watershed(weights, offsets)
    assert out.min() == 1
    assert np.array_equal(np.unique(out), np.arange(1, out.max() + 1))


@pytest.mark.parametrize("shape", [(18, 20, 21), (60, 64)])
@pytest.mark.parametrize("drawn", [False, True])
def test_what_is_certain_of_a_part_is_so_in_the_whole(
    shape: tuple[int, ...], drawn: bool, rng: np.random.Generator
) -> None:
    dims = len(shape)
    near = np.eye(dims, dtype=int)
    offsets = [*near.tolist(), *(-3 * near).tolist(), [2] * dims]
    strides = [[1] * dims] * dims + [[2] * dims] * (dims + 1)
    # No two are of one level, and the strongest is in the part, so that both have the same levels.
    levels = rng.permutation(2**16)[: len(offsets) * int(np.prod(shape))] / 2**16
    weights = (levels * rng.choice([-1, 1], len(levels))).astype(np.float32)
    weights = weights.reshape(len(offsets), *shape)
    weights[(0, *[8] * dims)] = 1
    whole = mutex_watershed(weights, offsets, strides, random_strides=drawn)
    corner, size = [5] * dims, [12] * dims
    place = tuple(slice(c, c + s) for c, s in zip(corner, size, strict=True))
    part, may_grow = mutex_watershed_of_part(
        weights[(slice(None), *place)], offsets, strides, drawn, corner, shape
    )
    pairs = np.unique(np.stack([part.reshape(-1), whole[place].reshape(-1)]), axis=1)
    assert len(np.unique(part)) == pairs.shape[1]  # each lies in one segment of the whole
    assert not may_grow[0]
    for ours, theirs in pairs.T.tolist():
        if not may_grow[ours]:
            assert (part == ours).sum() == (whole == theirs).sum()
    assert may_grow.any()
    assert len(np.unique(part)) < part.size
    alone, grows = mutex_watershed_of_part(weights, offsets, strides, drawn, [0] * dims, shape)
    assert np.array_equal(alone, whole)
    assert not grows.any()
