"""Faces between objects."""

from __future__ import annotations

import numpy as np

from dacapo.ops.objects import combine, count_faces, measure


def test_faces_of_objects_that_touch() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, (5, 6, 7))
    known = rng.random((5, 6, 7)) < 0.8
    between = surface = 0
    for at in np.ndindex(*labels.shape):
        for axis in range(3):
            to = (*at[:axis], at[axis] + 1, *at[axis + 1 :])
            if to[axis] < labels.shape[axis] and known[at] and known[to]:
                surface += labels[at] != labels[to]
                between += labels[at] != labels[to] and 0 not in (labels[at], labels[to])
    assert count_faces(labels, known) == (between, surface)


def test_objects_of_blocks_are_those_of_the_volume() -> None:
    rng = np.random.default_rng(1)
    labels = np.kron(rng.integers(0, 9, (3, 4, 7)), np.ones((2, 2, 2), int)).astype(np.uint64)
    areas, parts = (1.0, 2.0, 3.0), []
    for start in range(0, labels.shape[2], 2):  # seven blocks, no power of two
        window = labels[:, :, start : start + 3]
        core = (slice(0, 6), slice(0, 8), slice(0, 2))
        parts.append(measure(window, core, (0, 0, start), areas))
    found = combine(iter(parts))
    whole = measure(labels, (slice(0, 6), slice(0, 8), slice(0, 14)), (0, 0, 0), areas)
    for name in ("ids", "voxels", "sums", "begin", "end"):
        assert np.array_equal(getattr(found, name), getattr(whole, name)), name
    assert np.array_equal(found.contacts.pairs, whole.contacts.pairs)
    assert np.array_equal(found.contacts.columns["area"], whole.contacts.columns["area"])
    assert np.array_equal(found.surface(), whole.surface())
