from __future__ import annotations

import numpy as np
import pytest

from dacapo.ops.synthetic import tissue


@pytest.mark.parametrize(
    ("shape", "voxel_size"), [((32, 40, 40), (8, 8, 8)), ((12, 48, 48), (40, 8, 8)),
                              ((96, 96), (8, 8))],
)  # fmt: skip
def test_dense_cells_with_dark_membranes(
    shape: tuple[int, ...], voxel_size: tuple[float, ...]
) -> None:
    made = tissue(shape, voxel_size, 12.0, 0.05, (0, 0))
    raw, labels = made.raw, made.cells
    assert raw.shape == labels.shape == shape
    assert raw.dtype == np.uint8
    assert labels.min() == 1
    assert labels.max() > 5
    if len(shape) == 3 and voxel_size[0] > voxel_size[1]:
        raw, labels, shape = raw[0], labels[0], shape[1:]  # sections are far apart
    inner = [slice(0, n - 1) for n in shape]
    border = np.zeros(tuple(n - 1 for n in shape), bool)
    for axis in range(len(shape)):
        there = [slice(1, n) if a == axis else slice(0, n - 1) for a, n in enumerate(shape)]
        border |= labels[tuple(inner)] != labels[tuple(there)]
    inside = raw[tuple(inner)]
    assert inside[border].mean() < inside[~border].mean() - 20


def test_the_seed_decides() -> None:
    a, b, c = (tissue((16, 16), (1, 1), 6.0, 0.05, s) for s in ((1, 0), (1, 0), (1, 1)))
    assert np.array_equal(a.raw, b.raw)
    assert np.array_equal(a.cells, b.cells)
    assert not np.array_equal(a.raw, c.raw)


def test_cells_apart_have_background_between_them() -> None:
    made = tissue((32, 40, 40), (8, 8, 8), 24.0, 0.05, (0, 0))
    assert np.array_equal(made.apart(0), made.cells)
    apart = made.apart(3)
    assert 0.1 < (apart == 0).mean() < 0.7
    assert (apart[apart != 0] == made.cells[apart != 0]).all()
    both = (apart[1:] != 0) & (apart[:-1] != 0)
    assert (apart[1:] == apart[:-1])[both].all()


def test_classes_look_as_they_should() -> None:
    made = tissue((32, 40, 40), (8, 8, 8), 16.0, 0.02, (0, 0))
    tone = [made.raw[made.classes() == c].mean() for c in range(3)]
    assert tone[1] < tone[0] - 20  # membranes are dark
    assert tone[2] < tone[0] - 10  # so are bodies
