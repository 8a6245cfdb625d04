"""Measurements of objects, in parts of a volume that add up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.ndimage import find_objects

from dacapo.ops.region_graph import Edges, Reduction, add_up, pairs_at

Array = np.ndarray[Any, np.dtype[Any]]
_CONTACTS: Mapping[str, Reduction] = {"area": "sum"}


@dataclass(frozen=True)
class Objects:
    """What was measured of the objects in a part of a volume.

    Attributes:
        ids: (N,) uint64, in rising order; 0 is background.
        voxels: (N,) number of voxels.
        sums: (N, dims) sums of their positions in the volume, in voxels.
        begin, end: (N, dims) of the bounding boxes, in voxels.
        contacts: pairs of objects that touch by faces, background among them, and their `area`.
    """

    ids: Array
    voxels: Array
    sums: Array
    begin: Array
    end: Array
    contacts: Edges

    def surface(self) -> Array:
        """(N,) the area of the faces to other objects and to background; the border of the volume
        is not surface."""
        out = np.zeros(len(self.ids))
        for side in range(2):
            place = np.searchsorted(self.ids, self.contacts.pairs[:, side])
            np.add.at(out, place, self.contacts.columns["area"])
        return out


def measure(
    labels: Array, core: Sequence[slice], corner: Sequence[int], areas: Sequence[float]
) -> Objects:
    """Measure the objects in a block.

    Args:
        labels: (*spatial) ids, of the block and the next voxel along each axis.
        core: the block in `labels`.
        corner: of the block in the volume, in voxels.
        areas: of the face of a voxel across each axis.
    """
    own = np.ascontiguousarray(labels[tuple(core)])
    ids, inverse = np.unique(own, return_inverse=True)
    number = inverse.reshape(own.shape)
    sums, boxes = [], find_objects(number + 1)
    for axis, first in enumerate(corner):
        shape = [-1 if a == axis else 1 for a in range(own.ndim)]
        position = np.arange(first, first + own.shape[axis], dtype=np.float64).reshape(shape)
        weights = np.broadcast_to(position, own.shape).reshape(-1)
        sums.append(np.bincount(number.reshape(-1), weights, len(ids)))
    begin = [[s.start + c for s, c in zip(box, corner, strict=True)] for box in boxes]
    end = [[s.stop + c for s, c in zip(box, corner, strict=True)] for box in boxes]
    tables = []
    shifted = labels.astype(np.uint64) + np.uint64(1)  # pairs_at ignores 0
    for axis, area in enumerate(areas):
        offset = [int(a == axis) for a in range(own.ndim)]
        pairs, _ = pairs_at(shifted, offset, core, [1] * own.ndim, [0] * own.ndim)
        tables.append(Edges(pairs - np.uint64(1), {"area": np.full(len(pairs), area)}))
    return Objects(
        ids.astype(np.uint64),
        np.bincount(number.reshape(-1), minlength=len(ids)),
        np.stack(sums, axis=1),
        np.array(begin, np.int64),
        np.array(end, np.int64),
        add_up(tables, _CONTACTS),
    )


def combine(parts: Iterable[Objects]) -> Objects:
    """The objects of a volume from those of its blocks, one at least.

    Two are combined at a time, as many blocks with as many, so that memory holds little more than
    the result and no object is copied often.
    """
    waiting: list[tuple[int, Objects]] = []
    for part in parts:
        count, whole = 1, part
        while waiting and waiting[-1][0] <= count:
            others, other = waiting.pop()
            count, whole = count + others, _union(other, whole)
        waiting.append((count, whole))
    _, whole = waiting.pop()
    while waiting:
        whole = _union(waiting.pop()[1], whole)
    return whole


def _union(one: Objects, other: Objects) -> Objects:
    """The objects of two parts of a volume."""
    ids = np.union1d(one.ids, other.ids)
    shape = len(ids), one.sums.shape[1]
    voxels, sums = np.zeros(len(ids), np.int64), np.zeros(shape)
    begin, end = np.full(shape, np.iinfo(np.int64).max), np.zeros(shape, np.int64)
    for part in (one, other):
        at = np.searchsorted(ids, part.ids)
        voxels[at] += part.voxels
        sums[at] += part.sums
        begin[at] = np.minimum(begin[at], part.begin)
        end[at] = np.maximum(end[at], part.end)
    return Objects(ids, voxels, sums, begin, end, add_up([one.contacts, other.contacts], _CONTACTS))


def count_faces(labels: Array, known: Array) -> tuple[int, int]:
    """The number of faces between two objects, and of all faces of objects, between voxels that are
    known.

    >>> count_faces(np.array([1, 1, 2, 0]), np.ones(4, bool))
    (1, 2)
    """
    contact = surface = 0
    for axis in range(labels.ndim):
        one, other = (
            tuple(cut if a == axis else slice(None) for a in range(labels.ndim))
            for cut in (slice(1, None), slice(None, -1))
        )
        differ = (labels[one] != labels[other]) & known[one] & known[other]
        surface += int(differ.sum())
        contact += int((differ & (labels[one] != 0) & (labels[other] != 0)).sum())
    return contact, surface
