"""Where a segmentation splits an object, or merges two: the faces at which the parts meet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Meetings:
    """Pairs of parts that touch inside of one whole.

    Attributes:
        ids: (N, 3) uint64: of the whole, and of the two parts, the smaller one first.
        faces: (N,) number of faces of voxels between the parts.
        position: (N, dims) a voxel at one of these faces, in voxels of the volume.
    """

    ids: Array
    faces: Array
    position: Array


def meetings(
    whole: Array, parts: Array, counted: Array, core: Sequence[slice], corner: Sequence[int]
) -> Meetings:
    """The pairs of parts that touch inside of one whole, in a block.

    With objects as wholes and segments as parts these are splits; the other way round, merges.

    Args:
        whole, parts: (*spatial) ids, 0 for none, of the block and the next voxel along each axis.
        counted: nonzero where annotated.
        core: the block in these arrays.
        corner: of the block in the volume, in voxels.
    """
    dims = whole.ndim
    known = (counted != 0) & (whole != 0) & (parts != 0)
    ids, places = [], []
    for axis in range(dims):
        here = [slice(0, c.stop) for c in core]
        there = list(here)
        limit = min(core[axis].stop, whole.shape[axis] - 1)
        here[axis], there[axis] = slice(0, limit), slice(1, limit + 1)
        a, b = tuple(here), tuple(there)
        meet = known[a] & known[b] & (whole[a] == whole[b]) & (parts[a] != parts[b])
        pair = np.stack([parts[a][meet], parts[b][meet]], axis=1).astype(np.uint64)
        ids.append(np.column_stack([whole[a][meet].astype(np.uint64), np.sort(pair, axis=1)]))
        places.append(np.argwhere(meet))
    found = np.concatenate(ids)
    order = np.lexsort(found.T[::-1])
    place = np.concatenate(places)[order] + np.asarray(corner)
    keys, first, counts = np.unique(found[order], axis=0, return_index=True, return_counts=True)
    # The middle one, in the order of the volume, lies on the contact rather than at its rim.
    return Meetings(keys.reshape(-1, 3), counts, place[first + counts // 2].reshape(-1, dims))


def add_meetings(blocks: Iterable[Meetings]) -> Meetings:
    """Those of several blocks; a pair is placed in the block in which it has the most faces."""
    every = list(blocks)
    ids = np.concatenate([block.ids for block in every])
    faces = np.concatenate([block.faces for block in every])
    position = np.concatenate([block.position for block in every])
    order = np.argsort(-faces, kind="stable")
    keys, first, inverse = np.unique(ids[order], axis=0, return_index=True, return_inverse=True)
    total = np.zeros(len(keys), np.int64)
    np.add.at(total, inverse.reshape(-1), faces[order])
    return Meetings(keys.reshape(-1, 3), total, position[order][first])
