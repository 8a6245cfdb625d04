from __future__ import annotations

import itertools

import numpy as np
import pytest

from dacapo.ops.overlap import overlap, variation_of_information
from dacapo.ops.region_graph import (
    Edges,
    add_up,
    agglomerate_graph,
    joined,
    mutex_watershed_on_graph,
    pairs_at,
    watershed_on_graph,
)


def random_graph(rng: np.random.Generator, count: int, num: int) -> np.ndarray:
    every = np.array(list(itertools.combinations(range(count), 2)))
    return every[rng.permutation(len(every))[:num]]


def same(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two arrays divide their elements alike, whatever the numbers."""
    return variation_of_information(overlap(one, other)) == (0, 0)


class TestPairs:
    def test_by_hand(self) -> None:
        fragments = np.array([[1, 1, 0], [2, 1, 3], [2, 3, 3]], np.uint64)
        pairs, starts = pairs_at(fragments, [1, 0], [slice(0, 3)] * 2, [1, 1], [0, 0])
        assert pairs.tolist() == [[1, 2], [1, 3]]
        assert starts.tolist() == [0, 4]
        pairs, starts = pairs_at(fragments, [0, -1], [slice(0, 3), slice(1, 3)], [1, 1], [0, 1])
        assert pairs.tolist() == [[1, 2], [1, 3], [2, 3]]
        assert starts.tolist() == [2, 3, 4]  # in a core of 3 x 2

    @pytest.mark.parametrize("shape", [(9, 11), (5, 7, 6)])
    @pytest.mark.parametrize("stride", [1, 2])
    def test_as_counted_voxel_by_voxel(
        self, rng: np.random.Generator, shape: tuple[int, ...], stride: int
    ) -> None:
        fragments = rng.integers(0, 4, shape).astype(np.uint64)
        for _ in range(5):
            offset = rng.integers(-3, 4, len(shape)).tolist()
            core = [slice(1, n - 1) for n in shape]
            corner = rng.integers(0, 9, len(shape)).tolist()
            expected = []
            for flat, voxel in enumerate(np.ndindex(*(n - 2 for n in shape))):
                here = tuple(v + 1 for v in voxel)
                there = tuple(h + o for h, o in zip(here, offset, strict=True))
                inside = all(0 <= t < n for t, n in zip(there, shape, strict=True))
                position = [v + c for v, c in zip(voxel, corner, strict=True)]
                if any(p % stride for p in position) or not inside:
                    continue
                ends = sorted((fragments[here], fragments[there]))
                if ends[0] != ends[1] and ends[0] != 0:
                    expected.append((ends, flat))
            pairs, starts = pairs_at(fragments, offset, core, [stride] * len(shape), corner)
            assert pairs.tolist() == [p for p, _ in expected]
            assert starts.tolist() == [s for _, s in expected]

    def test_parts_add_up_to_the_whole(self, rng: np.random.Generator) -> None:
        pairs = np.sort(rng.integers(0, 5, (200, 2)), axis=1).astype(np.uint64) + np.uint64(2**63)
        values = rng.random(200)
        how = {"total": "sum", "top": "max", "bottom": "min"}
        columns = dict.fromkeys(how, values)
        parts = [
            add_up([Edges(pairs[i::3], {k: v[i::3] for k, v in columns.items()})], how)
            for i in range(3)
        ]
        table = add_up(parts, how)
        assert len(table.pairs) == len(np.unique(pairs, axis=0))
        for pair, total, top, bottom in zip(table.pairs, *table.columns.values(), strict=True):
            of_pair = values[(pairs == pair).all(axis=1)]
            assert total == pytest.approx(of_pair.sum())
            assert (top, bottom) == (of_pair.max(), of_pair.min())
        assert add_up([], how).pairs.shape == (0, 2)
        ids = np.unique(pairs)
        assert np.array_equal(ids[table.indices(ids)], table.pairs)


class TestMutexWatershed:
    def test_equals_the_obvious_one(self, rng: np.random.Generator) -> None:
        for _ in range(20):
            pairs = random_graph(rng, 12, 40)
            weights = rng.normal(size=40)
            cluster = np.arange(12)
            apart: set[frozenset[int]] = set()  # of nodes, by which their clusters stay apart
            for e in np.argsort(-np.abs(weights)):
                a, b = cluster[pairs[e]]
                if weights[e] <= 0:
                    apart.add(frozenset(pairs[e].tolist()))
                elif not any({cluster[i] for i in pair} == {a, b} for pair in apart):
                    cluster[cluster == b] = a
            assert same(mutex_watershed_on_graph(12, pairs, weights), cluster)

    def test_nodes_without_edges(self) -> None:
        none = np.zeros((0, 2), np.int64)
        assert mutex_watershed_on_graph(3, none, np.zeros(0)).tolist() == [0, 1, 2]


class TestWatershed:
    def test_each_node_joins_the_seed_over_the_highest_pass(self, rng: np.random.Generator) -> None:
        for _ in range(20):
            pairs, heights = random_graph(rng, 12, 30), rng.random(30)
            is_seed = rng.random(12) < 0.3
            is_seed[0] = True
            label = np.where(is_seed, np.arange(12), -1)
            while True:  # the highest edge between a labelled node and one that is not
                sides = (label[pairs] >= 0).sum(axis=1) == 1
                if not sides.any():
                    break
                a, b = pairs[np.argmax(np.where(sides, heights, -1))]
                label[a], label[b] = [max(label[a], label[b])] * 2
            found = watershed_on_graph(12, pairs, heights, is_seed)
            reached = label >= 0
            assert same(found[reached], label[reached])


class TestAgglomeration:
    def test_equals_the_obvious_one(self, rng: np.random.Generator) -> None:
        thresholds = [0.3, 0.5, 0.6]
        for _ in range(20):
            pairs = random_graph(rng, 12, 40)
            sizes = rng.integers(1, 9, 40).astype(float)
            sums = rng.random(40) * sizes
            found = list(agglomerate_graph(12, pairs, sums, sizes, thresholds))
            cluster = np.arange(12)
            for threshold, result in zip(thresholds, found, strict=True):
                while True:
                    means = {}
                    for a, b in itertools.combinations(np.unique(cluster), 2):
                        between = [{*cluster[p]} == {a, b} for p in pairs]
                        if any(between):
                            means[a, b] = sums[between].sum() / sizes[between].sum()
                    if not means or max(means.values()) <= 1 - threshold:
                        break
                    a, b = max(means, key=means.__getitem__)
                    cluster[cluster == b] = a
                assert same(result, cluster)

    def test_as_waterz_does_it_with_voxels(self, rng: np.random.Generator) -> None:
        from dacapo.ops.agglomeration import agglomerate, fragments

        affinities = rng.random((3, 12, 14, 16)).astype(np.float32)
        parts = fragments(affinities, low=0.3, high=0.95).astype(np.uint64)
        core = [slice(0, n) for n in parts.shape]
        tables = []
        for channel, offset in enumerate(np.eye(3, dtype=int).tolist()):
            pairs, at = pairs_at(parts, offset, core, [1, 1, 1], [0, 0, 0])
            values = affinities[channel].reshape(-1)[at].astype(np.float64)
            tables.append(Edges(pairs, {"sum": values, "size": np.ones(len(at))}))
        edges = add_up(tables, {"sum": "sum", "size": "sum"})
        thresholds = [0.4, 0.5, 0.6]
        count = int(parts.max()) + 1
        ours = agglomerate_graph(
            count, edges.pairs.astype(np.int64), edges.columns["sum"], edges.columns["size"],
            thresholds,
        )  # fmt: skip
        for mine, theirs in zip(ours, agglomerate(affinities, parts, thresholds), strict=True):
            assert len(np.unique(theirs)) < 0.8 * count
            assert same(mine[1:], theirs[1:])


def test_joined() -> None:
    assert joined(5, np.array([[0, 3], [3, 4]])).tolist() == [0, 1, 2, 0, 0]
