"""Seeded watershed: seeds grow into their surroundings, highest voxels first."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

_LEVELS = 2**16


def seeded_watershed(interior: Array, seeds: Array, mask: Array) -> Array:
    """Assign each voxel of the mask to the seed whose flood reaches it first. Meyer 1991.

    Args:
        interior: (*spatial) float, 2D or 3D; high inside objects. Values are quantised to 65,536
            levels of their range; within a level, voxels are processed in the order they are
            reached.
        seeds: (*spatial), labels of seeds, 0 elsewhere.
        mask: (*spatial), the voxels to fill.

    Returns:
        (*spatial) uint32; 0 outside the mask, and in components of the mask without a seed.
    """
    shape = interior.shape
    to_3d = (1,) * (3 - len(shape))
    inside = np.ascontiguousarray(mask != 0)
    labels = np.where(inside, seeds, 0).astype(np.uint32)
    values = interior[inside]
    if values.size:
        low, high = float(values.min()), float(values.max())
        scale = (_LEVELS - 1) / (high - low) if high > low else 0.0
        levels = np.clip((high - interior) * scale, 0, _LEVELS - 1).astype(np.uint16)
        _flood(*(a.reshape(*to_3d, *shape) for a in (levels, labels, inside)))
    return labels


@numba.njit(cache=True, nogil=True)
def _push(voxel, level, first, last, following):  # type: ignore[no-untyped-def]
    following[voxel] = -1
    if first[level] < 0:
        first[level] = voxel
    else:
        following[last[level]] = voxel
    last[level] = voxel


@numba.njit(cache=True, nogil=True)
def _flood(levels, labels, inside):  # type: ignore[no-untyped-def]
    """Fill labels in place, from level 0 upwards; each level is a queue stored as a linked list."""
    depth, height, width = levels.shape
    level_of, label, free = levels.reshape(-1), labels.reshape(-1), inside.reshape(-1)
    first = np.full(_LEVELS, -1, np.int64)
    last = np.full(_LEVELS, -1, np.int64)
    following = np.empty(level_of.size, np.int64)
    for voxel in range(level_of.size):
        if label[voxel] != 0:
            _push(voxel, level_of[voxel], first, last, following)
    at = np.int64(0)
    # Levels are emptied in order, but behind a ridge there may be voxels of an earlier level again:
    # then the flood goes back to it, as water runs into a basin before it rises further.
    while at < _LEVELS:
        voxel = first[at]
        if voxel < 0:
            at += 1
            continue
        first[at] = following[voxel]
        z, rest = divmod(voxel, height * width)
        y, x = divmod(rest, width)
        lowest = at
        for side in range(6):
            if side == 0 and z > 0:
                other = voxel - height * width
            elif side == 1 and y > 0:
                other = voxel - width
            elif side == 2 and x > 0:
                other = voxel - 1
            elif side == 3 and x < width - 1:
                other = voxel + 1
            elif side == 4 and y < height - 1:
                other = voxel + width
            elif side == 5 and z < depth - 1:
                other = voxel + height * width
            else:
                continue
            if free[other] and label[other] == 0:
                label[other] = label[voxel]
                level = np.int64(level_of[other])
                _push(other, level, first, last, following)
                if level < lowest:
                    lowest = level
        at = lowest
