from __future__ import annotations

from dataclasses import replace

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


def slow_run_length(skeletons: Skeletons, segment: np.ndarray) -> float:
    """By the definition: the mean, over all points on all skeletons, of the run they are on."""
    of_segment: dict[int, set[int]] = {}
    for skeleton, found in zip(skeletons.skeleton, segment, strict=True):
        of_segment.setdefault(found, set()).add(skeleton)
    runs: dict[tuple[int, int], float] = {}
    for (first, second), length in zip(skeletons.edges, skeletons.length, strict=True):
        found = segment[first]
        if found > 0 and found == segment[second] and len(of_segment[found]) == 1:
            key = skeletons.skeleton[first], found
            runs[key] = runs.get(key, 0.0) + length
    return sum(run * run for run in runs.values()) / sum(skeletons.length)


@pytest.mark.parametrize("seed", range(20))
def test_agrees_with_the_definition(seed: int) -> None:
    rng = np.random.default_rng(seed)
    skeletons = chains(*rng.integers(1, 12, 6))
    skeletons = replace(skeletons, length=rng.random(len(skeletons.edges)) + 0.1)
    # Mostly a segment of each skeleton's own, with splits, merges and holes.
    segment = 3 * skeletons.skeleton + rng.integers(1, 3, len(skeletons.skeleton))
    segment[rng.random(segment.size) < 0.05] = 1
    segment[rng.random(segment.size) < 0.1] = 0
    length, share = expected_run_length(skeletons, segment)
    assert length == pytest.approx(slow_run_length(skeletons, segment))
    assert share == pytest.approx(length / slow_run_length(skeletons, skeletons.skeleton + 1))


@pytest.mark.parametrize(
    ("segment", "expected"),
    [
        ([10, 10, 10], 2 * 2**0.5),
        ([10, 10, 20], 0.5 * 2**0.5),
        ([10, 10, 30, 20, 40], 2 / 3 * 0.5 * 2**0.5),
        ([10, 10, 10, 10, 10], 0.0),
    ],
)
def test_figures_of_funlib_evaluate(segment: list[int], expected: float) -> None:
    """Those of its tests, on which the score of the NISB benchmark is built."""
    skeletons = chains(3, 2) if len(segment) == 5 else chains(3)
    skeletons = replace(skeletons, length=np.full(len(skeletons.edges), 2**0.5))
    assert expected_run_length(skeletons, np.array(segment))[0] == pytest.approx(expected)


def test_no_segment_is_no_run() -> None:
    assert expected_run_length(chains(3), np.array([0, 0, 0])) == (0, 0)


def test_nodes_that_do_not_count() -> None:
    inside = expected_run_length(chains(5), np.array([1, 1, 1, -1, -1]))
    assert inside == (20, 1)
    assert np.isnan(expected_run_length(chains(2), np.array([-1, -1]))).all()
    assert np.isnan(expected_run_length(chains(1), np.array([1]))).all()
