"""Graphs of fragments that touch: built block by block, added up, and segmented without voxels.

A fragment is a set of voxels that stays together; an edge joins two fragments and carries numbers
such as the sum of the affinities between them. Edges of blocks are combined by `add_up`, so that a
graph does not depend on how the volume was cut.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numba
import numpy as np

from dacapo.ops.mutex_watershed import merge_sorted

Array = np.ndarray[Any, np.dtype[Any]]
Reduction = Literal["sum", "max", "min"]
_REDUCE = {"sum": np.add, "max": np.maximum, "min": np.minimum}


@dataclass(frozen=True)
class Edges:
    """Edges between fragments, each pair once.

    Attributes:
        pairs: (E, 2) uint64, the smaller id first, in rising order.
        columns: (E,) each: what is known of an edge, by name.
    """

    pairs: Array
    columns: Mapping[str, Array]

    def indices(self, ids: Array) -> Array:
        """The pairs as positions in the sorted ids, (E, 2) int64."""
        return np.searchsorted(ids, self.pairs).astype(np.int64)


def add_up(parts: Iterable[Edges], how: Mapping[str, Reduction]) -> Edges:
    """One table of the edges of several, in which each pair occurs once.

    Args:
        how: for each column, how the values of a pair become one.
    """
    tables = list(parts)
    pairs = np.concatenate([np.zeros((0, 2), np.uint64), *(t.pairs for t in tables)])
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    pairs = pairs[order]
    is_first = np.ones(len(pairs), np.bool_)
    is_first[1:] = (pairs[1:] != pairs[:-1]).any(axis=1)
    begin = np.flatnonzero(is_first)
    columns = {}
    for name, reduction in how.items():
        values = np.concatenate([np.zeros(0), *(t.columns[name] for t in tables)])[order]
        columns[name] = _REDUCE[reduction].reduceat(values, begin) if len(begin) else values
    return Edges(pairs[begin], columns)


def pairs_at(
    fragments: Array,
    offset: Sequence[int],
    core: Sequence[slice],
    stride: Sequence[int],
    corner: Sequence[int],
) -> tuple[Array, Array]:
    """The pairs of fragments that one offset joins.

    Args:
        fragments: (*spatial) of a block and its surroundings; 0 belongs to none.
        offset: in voxels.
        core: the voxels from which edges start; those that end outside the array are left out.
        stride: only voxels whose position in the volume is a multiple of it are starts, per axis.
        corner: the position in the volume of the first voxel of the core.

    Returns:
        (N, 2) ids, the smaller first; and where their edges start, (N,) flat indices of the core.
    """
    shape = [c.stop - c.start for c in core]
    here, starts = [], []
    axes = zip(core, offset, fragments.shape, stride, corner, strict=True)
    for part, step, size, every, position in axes:
        places = np.arange(part.start + -position % every, part.stop, every)
        places = places[(places + step >= 0) & (places + step < size)]
        here.append(places)
        starts.append(places - part.start)
    there = [places + step for places, step in zip(here, offset, strict=True)]
    ours, theirs = fragments[np.ix_(*here)], fragments[np.ix_(*there)]
    differ = (ours != theirs) & (ours != 0) & (theirs != 0)
    ends = np.stack([ours[differ], theirs[differ]], axis=1)
    ends.sort(axis=1)
    flat = np.ravel_multi_index(np.ix_(*starts), shape)
    return ends, np.asarray(flat)[differ]


def joined(count: int, pairs: Array) -> Array:
    """The connected components of a graph: (count,) int64, numbered from 0."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    ones = np.ones(len(pairs), np.int8)
    graph = coo_array((ones, (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1], np.int64)


def mutex_watershed_on_graph(count: int, pairs: Array, weights: Array) -> Array:
    """The mutex watershed of a graph. Wolf et al. 2018.

    Args:
        count: number of nodes.
        pairs: (E, 2) nodes; a pair may have several edges.
        weights: (E,) attracts above 0, repels below; the larger its magnitude the earlier.

    Returns:
        (count,) int64: the cluster of each node, from 0.
    """
    order = np.argsort(-np.abs(weights), kind="stable")
    first = pairs[order, 0].astype(np.int64)
    delta = pairs[order, 1].astype(np.int64) - first
    edges = np.arange(len(order), dtype=np.int64) * count + first
    parent = merge_sorted(edges, weights[order] > 0, delta, count, np.zeros(0, np.bool_))
    return _numbered(parent)


def watershed_on_graph(count: int, pairs: Array, heights: Array, is_seed: Array) -> Array:
    """A seeded watershed: a node without seed joins the one that it reaches over the highest pass.

    Args:
        count: number of nodes.
        pairs: (E, 2) nodes.
        heights: (E,) of the pass between them.
        is_seed: (count,) bool; two seeds are never joined.

    Returns:
        (count,) int64: the cluster of each node, from 0.
    """
    order = np.argsort(-heights, kind="stable")
    return _numbered(_flood(np.ascontiguousarray(pairs[order]), is_seed.copy()))


def agglomerate_graph(
    count: int, pairs: Array, sums: Array, sizes: Array, thresholds: Sequence[float]
) -> Iterator[Array]:
    """Merge the two clusters with the highest mean affinity, until it is 1 - threshold or less.

    As waterz does it with voxels: Funke et al. 2019.

    Args:
        count: number of nodes.
        pairs: (E, 2) nodes, each pair once.
        sums, sizes: (E,) sum and number of the affinities between them.
        thresholds: in rising order; all are reached in one pass.

    Returns:
        For each threshold (count,) int64: the cluster of each node, from 0.
    """
    assert list(thresholds) == sorted(thresholds)
    ends = np.ascontiguousarray(pairs, np.int64)
    lowest = 1.0 - np.array(thresholds, np.float64)
    sums, sizes = np.array(sums, np.float64), np.array(sizes, np.float64)
    for parent in _agglomerate(count, ends, sums, sizes, lowest):
        yield _numbered(parent)


@numba.njit(cache=True, nogil=True)
def _find(parent, node):  # type: ignore[no-untyped-def]
    while parent[node] != node:
        parent[node] = parent[parent[node]]
        node = parent[node]
    return node


@numba.njit(cache=True, nogil=True)
def _flood(pairs, is_seed):  # type: ignore[no-untyped-def]
    """Kruskal's algorithm, in which clusters with a seed are not joined."""
    parent = np.arange(len(is_seed))
    for e in range(len(pairs)):
        a, b = _find(parent, pairs[e, 0]), _find(parent, pairs[e, 1])
        if a != b and not (is_seed[a] and is_seed[b]):
            parent[b] = a
            is_seed[a] |= is_seed[b]
    return parent


@numba.njit(cache=True, nogil=True)
def _key(count, a, b):  # type: ignore[no-untyped-def]
    return min(a, b) * count + max(a, b)


@numba.njit(cache=True, nogil=True)
def _agglomerate(count, ends, sums, sizes, lowest):  # type: ignore[no-untyped-def]
    """The parents of all nodes at each threshold.

    Each cluster has a linked list of its edges; of two clusters that merge, the one with more edges
    survives and takes over those of the other. The heap keeps what has changed since it was pushed;
    a stamp tells.
    """
    num = len(ends)
    parent = np.arange(count)
    out = np.empty((len(lowest), count), np.int64)
    head, degree = np.full(count, -1, np.int64), np.zeros(count, np.int64)
    following = np.empty(2 * num, np.int64)  # slot 2e: of the first end of edge e, 2e + 1: second
    edge_of = dict()  # noqa: C408 (numba knows no empty literal)
    heap = [(0.0, np.int64(0), np.int64(0)) for _ in range(0)]
    stamp, is_dead = np.zeros(num, np.int64), np.zeros(num, np.bool_)
    for e in range(num):
        for side in range(2):
            node = ends[e, side]
            following[2 * e + side] = head[node]
            head[node] = 2 * e + side
            degree[node] += 1
        edge_of[_key(count, ends[e, 0], ends[e, 1])] = e
        heap.append((-sums[e] / sizes[e], np.int64(e), np.int64(0)))
    heapq.heapify(heap)
    for number in range(len(lowest)):
        while len(heap) > 0 and -heap[0][0] > lowest[number]:
            _, merged, pushed = heapq.heappop(heap)
            if is_dead[merged] or stamp[merged] != pushed:
                continue
            a, b = _find(parent, ends[merged, 0]), _find(parent, ends[merged, 1])
            if degree[a] < degree[b]:
                a, b = b, a
            parent[b] = a
            is_dead[merged] = True
            edge_of.pop(_key(count, a, b))
            walk = head[b]
            while walk >= 0:
                slot, walk = walk, following[walk]
                e = slot // 2
                if is_dead[e]:
                    continue
                other = _find(parent, ends[e, 1 - slot % 2])
                edge_of.pop(_key(count, b, other))
                key = _key(count, a, other)
                if key in edge_of:
                    into = edge_of[key]
                    sums[into] += sums[e]
                    sizes[into] += sizes[e]
                    is_dead[e] = True
                    stamp[into] += 1
                    heapq.heappush(heap, (-sums[into] / sizes[into], into, stamp[into]))  # type: ignore[misc]
                else:
                    edge_of[key] = e
                    following[slot] = head[a]
                    head[a] = slot
                    degree[a] += 1
        for node in range(count):
            out[number, node] = _find(parent, node)
    return out


def _numbered(parent: Array) -> Array:
    """The number of the cluster of each node, in the order of the first node of each."""
    root = parent.astype(np.int64)
    while not np.array_equal(root[root], root):
        root = root[root]
    _, first, number = np.unique(root, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[number]
