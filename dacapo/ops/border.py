"""Distances to the nearest voxel of another label, up to a limit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numba
import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


def border_distance(labels: Array, voxel_size: Sequence[float], limit: float) -> Array:
    """The distance between centres of voxels, one axis after the other.

    In a line along the last axis the nearest other label is found by walking there and back. Along
    each further axis, a voxel that lies k steps away and has the same label is as far from another
    one as k steps and its own distance so far make, and one of another label just k steps. Farther
    than the limit nobody looks, so this is faster than a transform without one.

    Args:
        labels: (*spatial) uint32, 2D or 3D.
        voxel_size: an axis.
        limit: larger distances become this one.

    Returns:
        (*spatial) float32.
    """
    to_3d = (1,) * (3 - labels.ndim)
    codes = np.ascontiguousarray(labels, np.uint32).reshape(*to_3d, *labels.shape)
    steps = [1.0] * len(to_3d) + [float(v) for v in voxel_size]
    most = np.float32(limit) ** 2
    squares = np.empty(codes.shape, np.float32)
    other = np.empty(codes.shape, np.float32)
    _along_last(codes, np.float32(steps[2]), most, squares)
    for axis, (before, after) in ((1, (squares, other)), (0, (other, squares))):
        num = min(int(np.ceil(limit / steps[axis])), codes.shape[axis])
        further = (np.arange(1, num, dtype=np.float32) * np.float32(steps[axis])) ** 2
        _across(codes, before, axis, further, after)
    return np.sqrt(squares, out=squares).reshape(labels.shape)


@numba.njit(cache=True, nogil=True)
def _along_last(codes, step, most, squares):  # type: ignore[no-untyped-def]
    """Squared distances to another label within each line along the last axis."""
    depth, height, width = codes.shape
    for z in range(depth):
        for y in range(height):
            away = np.float32(np.inf)
            for x in range(width):
                differs = x > 0 and codes[z, y, x] != codes[z, y, x - 1]
                away = step if differs else away + step
                squares[z, y, x] = min(away * away, most)
            away = np.float32(np.inf)
            for x in range(width - 1, -1, -1):
                differs = x < width - 1 and codes[z, y, x] != codes[z, y, x + 1]
                away = step if differs else away + step
                squares[z, y, x] = min(away * away, squares[z, y, x])


@numba.njit(cache=True, nogil=True)
def _across(codes, squares, axis, steps, out):  # type: ignore[no-untyped-def]
    """Squared distances once the lines along another axis are looked at too."""
    depth, height = codes.shape[:2]
    for z in range(depth):
        for y in range(height):
            best = out[z, y]
            best[:] = squares[z, y]
            own = codes[z, y]
            for k in range(len(steps)):
                square = steps[k]
                if _largest(best) <= square:
                    break
                for side in (-1, 1):
                    there_z = z + side * (k + 1) * (axis == 0)
                    there_y = y + side * (k + 1) * (axis == 1)
                    if 0 <= there_z < depth and 0 <= there_y < height:
                        _nearer(
                            own, best, codes[there_z, there_y], squares[there_z, there_y], square
                        )


@numba.njit(cache=True, nogil=True, fastmath=True)
def _nearer(own, best, codes, squares, square):  # type: ignore[no-untyped-def]
    """One line of voxels against another one beside it; simple enough for vector instructions."""
    for x in range(len(own)):
        far = square + (squares[x] if codes[x] == own[x] else np.float32(0))
        best[x] = far if far < best[x] else best[x]


@numba.njit(cache=True, nogil=True, fastmath=True)
def _largest(values):  # type: ignore[no-untyped-def]
    out = np.float32(0)
    for value in values:
        out = value if value > out else out
    return out
