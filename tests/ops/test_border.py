from __future__ import annotations

import edt
import numpy as np
import pytest

from dacapo.ops.border import border_distance


@pytest.mark.parametrize("limit", [3.0, 9.5, 60.0, 1e6])
@pytest.mark.parametrize(
    ("shape", "voxel_size"),
    [((13, 21, 30), (1.0, 1.0, 1.0)), ((13, 21, 30), (40.0, 4.6, 4.6)), ((40, 31), (2.0, 1.0)),
     ((1, 9, 1), (1.0, 1.0, 1.0))],
)  # fmt: skip
def test_agrees_with_edt(
    shape: tuple[int, ...], voxel_size: tuple[float, ...], limit: float
) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, [-(-n // 4) for n in shape])
    for axis in range(len(shape)):
        labels = labels.repeat(4, axis)
    labels = labels[tuple(slice(0, n) for n in shape)].astype(np.uint32)
    theirs = edt.edt(labels + 1, anisotropy=voxel_size, black_border=False)
    ours = border_distance(labels, voxel_size, limit)
    assert ours.dtype == np.float32
    assert np.array_equal(ours, border_distance(labels.astype(np.uint8), voxel_size, limit))
    assert np.allclose(ours, np.minimum(theirs, np.float32(limit)), rtol=1e-6)


def test_without_a_border_it_is_the_limit() -> None:
    assert (border_distance(np.ones((5, 6), np.uint32), (1, 1), 4.0) == 4).all()
