from __future__ import annotations

import numpy as np
import pytest

from dacapo.ops.error_sites import add_meetings, meetings

SHAPE = (9, 8, 7)


def slow(whole: np.ndarray, parts: np.ndarray, counted: np.ndarray) -> dict[tuple[int, ...], set]:
    """Face by face: (whole, part, part) -> the voxels below the faces, one for each."""
    found: dict[tuple[int, ...], set] = {}
    for voxel in np.ndindex(*whole.shape):
        for axis in range(whole.ndim):
            other = tuple(v + (a == axis) for a, v in enumerate(voxel))
            if other[axis] == whole.shape[axis] or not (counted[voxel] and counted[other]):
                continue
            ids = int(parts[voxel]), int(parts[other])
            if whole[voxel] and whole[voxel] == whole[other] and all(ids) and ids[0] != ids[1]:
                key = (int(whole[voxel]), min(ids), max(ids))
                found.setdefault(key, set()).add((axis, *voxel))
    return found


@pytest.mark.parametrize("edge", [20, 4, 3])
def test_pairs_faces_and_places(rng: np.random.Generator, edge: int) -> None:
    large = np.array([0, 1, 7, 2**63], np.uint64)
    whole = large[rng.integers(0, 3, SHAPE)].repeat(2, 0)[: SHAPE[0]]
    parts = large[rng.integers(0, 4, SHAPE)]
    counted = rng.random(SHAPE) < 0.9
    blocks = []
    for start in np.ndindex(*(-(-n // edge) for n in SHAPE)):
        begin = [s * edge for s in start]
        window = tuple(slice(b, b + edge + 1) for b in begin)
        core = [slice(0, min(edge, n - b)) for b, n in zip(begin, SHAPE, strict=True)]
        blocks.append(meetings(whole[window], parts[window], counted[window], core, begin))
    found = add_meetings(blocks)
    expected = slow(whole, parts, counted)
    assert {tuple(map(int, key)) for key in found.ids} == set(expected)
    for key, faces, place in zip(found.ids, found.faces, found.position, strict=True):
        own = expected[tuple(map(int, key))]
        assert faces == len(own)
        assert tuple(place) in {voxel[1:] for voxel in own}


def test_no_error_has_no_site() -> None:
    labels = np.arange(1, 9).reshape(2, 2, 2)
    ones = np.ones_like(labels)
    core = [slice(0, 2)] * 3
    found = meetings(labels, labels, ones, core, [0, 0, 0])
    assert len(found.ids) == 0
    assert found.position.shape == (0, 3)
    assert len(add_meetings([found, found]).ids) == 0
