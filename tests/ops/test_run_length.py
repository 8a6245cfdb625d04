from __future__ import annotations

import numpy as np
import pytest

from dacapo.ops.run_length import Skeletons, expected_run_length


def chains(*lengths: int) -> Skeletons:
    """Straight skeletons with nodes 10 apart."""
    skeleton, edges = [], []
    for number, nodes in enumerate(lengths):
        begin = len(skeleton)
        skeleton += [number] * nodes
        edges += [(begin + i, begin + i + 1) for i in range(nodes - 1)]
    position = np.zeros((len(skeleton), 3))
    return Skeletons(
        np.array(skeleton), position, np.array(edges, int).reshape(-1, 2), np.full(len(edges), 10.0)
    )


def test_a_perfect_segmentation() -> None:
    length, share = expected_run_length(chains(5, 3), np.array([1] * 5 + [2] * 3))
    assert length == pytest.approx((40**2 + 20**2) / 60)
    assert share == 1


def test_a_split_by_hand() -> None:
    # The edge over the split is lost: runs of 10 and 20 of 40.
    length, share = expected_run_length(chains(5), np.array([1, 1, 2, 2, 2]))
    assert length == pytest.approx((10**2 + 20**2) / 40)
    assert share == pytest.approx((10**2 + 20**2) / 40**2)


def test_a_merge_spoils_both() -> None:
    length, _ = expected_run_length(chains(5, 5), np.array([1, 1, 1, 2, 2, 3, 3, 1, 3, 3]))
    # Segment 1 holds nodes of both; right are 2-2 of the first, 3-3 twice of the second.
    assert length == pytest.approx((10**2 + 20**2) / 80)


def test_no_segment_is_no_run() -> None:
    assert expected_run_length(chains(3), np.array([0, 0, 0])) == (0, 0)


def test_nodes_that_do_not_count() -> None:
    inside = expected_run_length(chains(5), np.array([1, 1, 1, -1, -1]))
    assert inside == (20, 1)
    assert np.isnan(expected_run_length(chains(2), np.array([-1, -1]))).all()
    assert np.isnan(expected_run_length(chains(1), np.array([1]))).all()
