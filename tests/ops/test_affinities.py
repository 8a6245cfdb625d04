from __future__ import annotations

import numpy as np
import pytest
import torch

from dacapo.ops.affinities import affinities, balanced_affinities, both_known, reach
from dacapo.ops.weights import balance

OFFSETS_3D = [[1, 0, 0], [0, -1, 0], [0, 2, -3], [0, 0, 9]]


def slow(labels: np.ndarray, offsets: list[list[int]], known: bool) -> np.ndarray:
    """Voxel by voxel; `known`: both nonzero, instead of equal and nonzero."""
    out = np.zeros((len(offsets), *labels.shape), np.uint8)
    for channel, offset in enumerate(offsets):
        for place in np.ndindex(labels.shape):
            other = tuple(p + o for p, o in zip(place, offset, strict=True))
            if all(0 <= o < n for o, n in zip(other, labels.shape, strict=True)):
                a, b = labels[place], labels[other]
                out[(channel, *place)] = (a != 0 and b != 0) if known else (a == b and a != 0)
    return out


def test_by_hand() -> None:
    labels = torch.tensor([[[1, 1, 2, 0, 0]]])
    assert affinities(labels, [[0, 1]])[0, 0, 0].tolist() == [1, 0, 0, 0, 0]
    assert affinities(labels, [[0, -1]])[0, 0, 0].tolist() == [0, 1, 0, 0, 0]


@pytest.mark.parametrize(
    ("shape", "offsets"),
    [((4, 5, 6), OFFSETS_3D), ((7, 6), [[1, 0], [0, -1], [-2, 3], [8, 0]])],
)
def test_agrees_with_the_slow_twin(shape: tuple[int, ...], offsets: list[list[int]]) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, (2, *shape)).astype(np.int32)
    fast = affinities(torch.from_numpy(labels), offsets).numpy()
    known = both_known(torch.from_numpy(labels), offsets).numpy()
    for sample in range(2):
        assert np.array_equal(fast[sample], slow(labels[sample], offsets, known=False))
        assert np.array_equal(known[sample], slow(labels[sample], offsets, known=True))


def test_reach_grows_for_negative_offsets_too() -> None:
    assert reach([[1, 0, 0], [0, -4, 0], [-2, 3, 0]]) == ([2, 4, 0], [1, 3, 0])


@pytest.mark.parametrize(
    ("shape", "region", "offsets"),
    [
        ((9, 8, 7), ((2, 8), (0, 8), (1, 6)), OFFSETS_3D),
        ((7, 6), ((1, 6), (0, 5)), [[1, 0], [0, -1], [-2, 3], [8, 0]]),
    ],
)
@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_target_and_weight_together_are_those_made_one_by_one(
    shape: tuple[int, ...], region: tuple[tuple[int, int], ...], offsets: list[list[int]],
    dtype: type,
) -> None:  # fmt: skip
    rng = np.random.default_rng(0)
    ids = np.array(
        [0, 5, 2**40 if dtype is np.int64 else 2**30, 5 + 2**32 if dtype is np.int64 else 6]
    )
    labels = torch.from_numpy(ids[rng.integers(0, 4, (2, *shape))].astype(dtype))
    mask = torch.from_numpy((rng.random((2, *shape)) < 0.8).astype(np.uint8))
    part = tuple(slice(*bounds) for bounds in region)
    target, weight = balanced_affinities(labels, mask, offsets, part, 3.0)
    expected = affinities(labels, offsets)[:, :, *part]
    known = both_known(mask, offsets)[:, :, *part]
    assert torch.equal(target, expected.float())
    assert torch.equal(weight, balance(expected, known, 3.0))
    assert 0 < known.float().mean() < 1
