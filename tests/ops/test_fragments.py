from __future__ import annotations

import numpy as np

from dacapo.ops.fragments import absorb_small


def test_by_hand() -> None:
    labels = np.array([[1, 1, 1, 2, 3, 3, 3]])
    assert absorb_small(labels, 2).tolist()[0] in ([1, 1, 1, 1, 3, 3, 3], [1, 1, 1, 3, 3, 3, 3])


def test_background_stays_and_absorbs_nothing() -> None:
    labels = np.array([[0, 5, 0, 0, 3, 3, 3]])
    assert absorb_small(labels, 2).tolist() == [[0, 3, 0, 0, 3, 3, 3]]


def test_nothing_is_large_enough() -> None:
    labels = np.array([[1, 2, 3]])
    assert absorb_small(labels, 2).tolist() == labels.tolist()


def test_off_and_empty() -> None:
    labels = np.array([[1, 2, 2]])
    assert absorb_small(labels, 0) is labels
    assert absorb_small(np.zeros((0, 3), int), 5).shape == (0, 3)
