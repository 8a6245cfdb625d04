"""Mutex watershed (Wolf et al. 2018, ECCV): segment a graph of attractive and repulsive edges.

Edges are visited from the strongest to the weakest. An attractive one merges two clusters unless a
repulsive edge has been recorded between them; a repulsive one records that they must stay apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numba
import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

_LEVELS = 2**16


def mutex_watershed(
    weights: Array,
    offsets: Sequence[Sequence[int]],
    strides: Sequence[Sequence[int]] | None = None,
    mask: Array | None = None,
    random_strides: bool = False,
) -> Array:
    """Segment a volume by its edge weights.

    Args:
        weights: (len(offsets), *spatial) float32; the edge from a voxel to the one at `voxel +
            offset` attracts above 0, repels below, and comes earlier the larger its magnitude.
            Magnitudes are quantised to 65,536 levels of the largest; within a level the order is
            that of channels, then of voxels.
        offsets: in voxels, 2D or 3D.
        strides: the edges of an offset are used only at voxels whose coordinates are multiples of
            its stride (default: 1 everywhere).
        mask: (*spatial); voxels where it is 0 get label 0 and no edges.
        random_strides: use the same number of edges at randomly drawn voxels, always the same ones.

    Returns:
        (*spatial) uint32; segments from 1. Memory is linear in the number of edges used.
    """
    shape = weights.shape[1:]
    return _segmented(weights, offsets, strides, mask, random_strides, [0] * len(shape), shape)[0]


def mutex_watershed_of_part(
    weights: Array,
    offsets: Sequence[Sequence[int]],
    strides: Sequence[Sequence[int]],
    random_strides: bool,
    corner: Sequence[int],
    whole: Sequence[int],
) -> tuple[Array, Array]:
    """What is certain of the mutex watershed of a volume from a part of it.

    Only those merges are made that no edge outside the part can prevent, so that each segment is a
    part of one segment of the whole.

    Args:
        weights, offsets, strides, random_strides: as of `mutex_watershed`.
        corner: of the part in the volume, in voxels.
        whole: shape of the volume.

    Returns:
        (*spatial) uint32; and for each label whether it may grow: (labels + 1,) bool. The others
        are whole segments.
    """
    shape = weights.shape[1:]
    is_open = np.zeros(shape, np.bool_)
    for axis, (first, size, end) in enumerate(zip(corner, shape, whole, strict=True)):
        reach = max(abs(offset[axis]) for offset in offsets)
        along = np.moveaxis(is_open, axis, 0)
        if first > 0:
            along[:reach] = True
        if first + size < end:
            along[max(size - reach, 0) :] = True
    return _segmented(
        weights, offsets, strides, None, random_strides, corner, whole, is_open.reshape(-1)
    )


def is_drawn(
    channel: int, voxels: Array, whole: Sequence[int], stride: Sequence[int]
) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Whether `random_strides` uses the edges of a channel at these voxels.

    Args:
        voxels: (N,) flat indices in the volume.
        whole: shape of the volume.
    """
    numbers = channel * int(np.prod(whole)) + np.asarray(voxels, np.int64)
    drawn: np.ndarray[Any, np.dtype[np.bool_]] = _are_drawn(numbers, int(np.prod(stride)))
    return drawn


def _segmented(
    weights: Array,
    offsets: Sequence[Sequence[int]],
    strides: Sequence[Sequence[int]] | None,
    mask: Array | None,
    random_strides: bool,
    corner: Sequence[int],
    whole: Sequence[int],
    is_open: Array | None = None,
) -> tuple[Array, Array]:
    shape = weights.shape[1:]
    dims = len(shape)
    to_3d = (1,) * (3 - dims)
    volume = np.ascontiguousarray(weights, np.float32).reshape(len(offsets), *to_3d, *shape)
    steps = np.array([[0] * (3 - dims) + list(o) for o in offsets], np.int64)
    every = [[1] * dims] * len(offsets) if strides is None else strides
    stride = np.array([[1] * (3 - dims) + list(s) for s in every], np.int64)
    place = np.array([[0] * (3 - dims) + list(corner), [1] * (3 - dims) + list(whole)], np.int64)
    inside = np.ones(volume.shape[1:], np.bool_)
    if mask is not None:
        inside = np.ascontiguousarray(mask != 0).reshape(volume.shape[1:])
    largest = float(np.abs(volume).max(initial=0.0))
    scale = (_LEVELS - 1) / largest if largest > 0 else 0.0
    edges, attractive = _sorted_edges(volume, steps, stride, place, random_strides, inside, scale)
    delta = steps @ np.array([volume.shape[2] * volume.shape[3], volume.shape[3], 1])
    opened = np.zeros(0, np.bool_) if is_open is None else is_open
    roots = merge_sorted(edges, attractive, delta, inside.size, opened)
    segments, first = _number(roots, inside.reshape(-1))
    may_grow = np.zeros(len(first) + 1, np.bool_)
    if is_open is not None:
        may_grow[1:] = is_open[first]
    return segments.reshape(shape), may_grow


@numba.njit(cache=True, nogil=True, inline="always")
def _mixed(number):  # type: ignore[no-untyped-def]
    """Mix the bits of a number: a random number as a function of its key (splitmix64)."""
    z = np.uint64(number) + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@numba.njit(cache=True, nogil=True)
def _are_drawn(numbers, one_in):  # type: ignore[no-untyped-def]
    out = np.empty(len(numbers), np.bool_)
    for i in range(len(numbers)):
        out[i] = _mixed(numbers[i]) % np.uint64(one_in) == 0
    return out


@numba.njit(cache=True, nogil=True)
def _visit(volume, steps, stride, where, drawn, inside, scale, place, edges, attractive):  # type: ignore[no-untyped-def]
    """Visit all edges in use: count them by level (if `edges` is empty), or sort them into
    place."""
    channels, depth, height, width = volume.shape
    fill = len(edges) > 0
    size = depth * height * width
    oz, oy, ox = where[0]
    whole_depth, whole_height, whole_width = where[1]
    whole_size = whole_depth * whole_height * whole_width
    for c in range(channels):
        dz, dy, dx = steps[c]
        sz, sy, sx = stride[c]
        one_in = np.uint64(sz * sy * sx)
        if drawn:
            sz = sy = sx = 1
        for z in range(-oz % sz, depth, sz):
            if z + dz < 0 or z + dz >= depth:
                continue
            for y in range(-oy % sy, height, sy):
                if y + dy < 0 or y + dy >= height:
                    continue
                for x in range(-ox % sx, width, sx):
                    if x + dx < 0 or x + dx >= width:
                        continue
                    if not (inside[z, y, x] and inside[z + dz, y + dy, x + dx]):
                        continue
                    if drawn:
                        voxel = ((z + oz) * whole_height + y + oy) * whole_width + x + ox
                        if _mixed(c * whole_size + voxel) % one_in != 0:
                            continue
                    weight = volume[c, z, y, x]
                    level = _LEVELS - 1 - int(abs(weight) * scale)
                    if fill:
                        at = place[level]
                        edges[at] = c * size + (z * height + y) * width + x
                        attractive[at] = weight > 0
                    place[level] += 1


@numba.njit(cache=True, nogil=True)
def _sorted_edges(volume, steps, stride, where, drawn, inside, scale):  # type: ignore[no-untyped-def]
    """Edges (channel * size + voxel) from the strongest to the weakest, by counting sort."""
    place = np.zeros(_LEVELS, np.int64)
    _visit(
        volume,
        steps,
        stride,
        where,
        drawn,
        inside,
        scale,
        place,
        np.empty(0, np.int64),
        np.empty(0, np.bool_),
    )
    total = place.sum()
    begin = np.zeros(_LEVELS, np.int64)
    begin[1:] = np.cumsum(place)[:-1]
    edges = np.empty(total, np.int64)
    attractive = np.empty(total, np.bool_)
    if total > 0:
        _visit(volume, steps, stride, where, drawn, inside, scale, begin, edges, attractive)
    return edges, attractive


@numba.njit(cache=True, nogil=True, inline="always")
def _find(parent, node):  # type: ignore[no-untyped-def]
    while parent[node] != node:
        parent[node] = parent[parent[node]]
        node = parent[node]
    return node


@numba.njit(cache=True, nogil=True, inline="always")
def _slot(table, a, b):  # type: ignore[no-untyped-def]
    """The slot of a pair of roots in an open-addressing hash table, or the slot where it would
    go."""
    key = (np.uint64(min(a, b)) << np.uint64(32)) | np.uint64(max(a, b))
    bits = np.uint64(len(table) - 1)
    at = (key * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(20) & bits
    while table[at] != 0 and table[at] != key:
        at = (at + np.uint64(1)) & bits
    return at, key


@numba.njit(cache=True, nogil=True)
def merge_sorted(edges, attractive, delta, size, is_open):  # type: ignore[no-untyped-def]
    """Kruskal's algorithm with mutual exclusions.

    Args:
        edges: channel * size + node, from the strongest to the weakest; the other end of an edge is
            node + delta[channel].
        attractive: whether an edge attracts.
        size: number of nodes.
        is_open: whether a node has further edges, which are not known here; empty: none has.
            Changed in place.

    Returns:
        A parent for every node, uint32.

    Each root has a linked list of the clusters from which it must stay apart, and a hash table
    tells whether a pair is among them. When two roots merge, the one with the longer list survives
    and takes over the new entries of the shorter one, so that an entry moves only logarithmically
    often.

    An open cluster may be part of a larger one, with which others must stay apart. Two closed
    clusters merge as if all were known. A closed one merges with an open one unless it must stay
    apart from an open cluster, which may be part of the same; then it may belong to either, and is
    open from there on. (That two open clusters must stay apart is never certain, as an edge that
    is not known here may have joined them before.)
    """
    some_open = len(is_open) > 0
    last = len(edges) - 1
    while last >= 0 and not attractive[last]:
        last -= 1  # trailing repulsive edges cannot change the segmentation
    parent = np.arange(size, dtype=np.uint32)
    head = np.full(size, -1, np.int64)
    length = np.zeros(size, np.int64)
    capacity = 2 * np.sum(~attractive[: last + 1])
    partner = np.empty(capacity, np.uint32)
    following = np.empty(capacity, np.int64)
    nodes = 0
    table = np.zeros(4096, np.uint64)
    used = 0
    for e in range(last + 1):
        channel = edges[e] // size
        voxel = edges[e] - channel * size
        a = _find(parent, voxel)
        b = _find(parent, voxel + delta[channel])
        if a == b:
            continue
        if not attractive[e]:
            at, key = _slot(table, a, b)
            if table[at] != 0:
                continue
            table[at] = key
            used += 1
            for root, other in ((a, b), (b, a)):
                partner[nodes] = other
                following[nodes] = head[root]
                head[root] = nodes
                length[root] += 1
                nodes += 1
            if 2 * used > len(table):
                table, used = _regrown(table, parent)
            continue
        if length[a] < length[b]:
            a, b = b, a
        if length[b] > 0:
            at, key = _slot(table, a, b)
            if table[at] != 0:
                continue
        if some_open:
            if is_open[a] and is_open[b]:
                continue
            if is_open[a] != is_open[b]:
                closed = b if is_open[a] else a
                walk = head[closed]
                while walk >= 0 and not is_open[_find(parent, partner[walk])]:
                    walk = following[walk]
                if walk >= 0:
                    is_open[closed] = True
                    continue
            is_open[a] |= is_open[b]
        parent[b] = a
        walk = head[b]
        while walk >= 0:
            node, walk = walk, following[walk]
            at, key = _slot(table, a, _find(parent, partner[node]))
            if table[at] == 0:
                table[at] = key
                used += 1
                following[node] = head[a]
                head[a] = node
                length[a] += 1
                if 2 * used > len(table):
                    table, used = _regrown(table, parent)
    return parent


@numba.njit(cache=True, nogil=True)
def _regrown(table, parent):  # type: ignore[no-untyped-def]
    """A table of twice the size, without pairs whose clusters have merged into others."""
    grown = np.zeros(2 * len(table), np.uint64)
    used = 0
    for pair in table:
        first, second = pair >> np.uint64(32), pair & np.uint64(0xFFFFFFFF)
        if pair != 0 and parent[first] == first and parent[second] == second:
            at, key = _slot(grown, first, second)
            grown[at] = key
            used += 1
    return grown, used


@numba.njit(cache=True, nogil=True)
def _number(parent, inside):  # type: ignore[no-untyped-def]
    """Segments 1, 2, ... in the order of their first voxel, 0 outside; and the root of each."""
    name = np.zeros(len(parent), np.uint32)
    roots = np.empty(len(parent), np.uint32)
    out = np.zeros(len(parent), np.uint32)
    count = np.uint32(0)
    for voxel in range(len(parent)):
        if not inside[voxel]:
            continue
        root = _find(parent, voxel)
        if name[root] == 0:
            roots[count] = root
            count += np.uint32(1)
            name[root] = count
        out[voxel] = name[root]
    return out, roots[:count].copy()
