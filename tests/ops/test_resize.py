from __future__ import annotations

import itertools

import numpy as np
import pytest

from dacapo.ops.resize import nearest

VOLUME = np.random.default_rng(0).integers(0, 99, (3, 4, 6))


@pytest.mark.parametrize("shape", [(3, 4, 6), (6, 8, 12), (1, 2, 3), (5, 3, 7), (2, 9, 6)])
def test_each_voxel_is_the_one_at_its_lower_corner(shape: tuple[int, ...]) -> None:
    slow = np.zeros(shape, int)
    for at in itertools.product(*map(range, shape)):
        lower = [a * n // m for a, n, m in zip(at, VOLUME.shape, shape, strict=True)]
        slow[at] = VOLUME[tuple(lower)]
    assert np.array_equal(nearest(VOLUME, shape), slow)
