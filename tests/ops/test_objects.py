"""Faces between objects."""

from __future__ import annotations

import numpy as np

from dacapo.ops.objects import count_faces


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
