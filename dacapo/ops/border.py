"""Distances to the nearest voxel of another label, up to a limit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numba
import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

_AT_ONCE = 2048


def border_distance(labels: Array, voxel_size: Sequence[float], limit: float) -> Array:
    """The distance between voxel centres, computed one axis at a time.

    Along the last axis, the nearest other label in each line is found by a forward and a backward
    pass. Along each further axis, a voxel k steps away contributes k steps if its label differs, or
    k steps and its own distance so far if it is the same. Only steps within the limit are examined,
    which makes this faster than an unlimited distance transform.

    Args:
        labels: (*spatial) unsigned integers, 2D or 3D; the smaller their type, the faster.
        voxel_size: per axis.
        limit: upper bound of distances.

    Returns:
        (*spatial) float32.
    """
    to_3d = (1,) * (3 - labels.ndim)
    codes = np.ascontiguousarray(labels).reshape(*to_3d, *labels.shape)
    steps = [1.0] * len(to_3d) + [float(v) for v in voxel_size]
    max_square = np.float32(limit) ** 2
    squares = np.empty(codes.shape, np.float32)
    other = np.empty(codes.shape, np.float32)
    _along_last(codes, np.float32(steps[2]), max_square, squares)
    plane = codes.shape[1] * codes.shape[2]
    for axis, stride, block, (before, after) in (
        (1, codes.shape[2], plane, (squares, other)),
        (0, plane, codes.size, (other, squares)),
    ):
        num = min(int(np.ceil(limit / steps[axis])), codes.shape[axis])
        further = (np.arange(1, num, dtype=np.float32) * np.float32(steps[axis])) ** 2
        _across(codes.reshape(-1), before.reshape(-1), stride, block, further, after.reshape(-1))
    return np.sqrt(squares, out=squares).reshape(labels.shape)


@numba.njit(cache=True, nogil=True)
def _along_last(codes, step, max_square, squares):  # type: ignore[no-untyped-def]
    """Squared distances to another label within each line along the last axis."""
    depth, height, width = codes.shape
    for z in range(depth):
        for y in range(height):
            away = np.float32(np.inf)
            for x in range(width):
                differs = x > 0 and codes[z, y, x] != codes[z, y, x - 1]
                away = step if differs else away + step
                squares[z, y, x] = min(away * away, max_square)
            away = np.float32(np.inf)
            for x in range(width - 1, -1, -1):
                differs = x < width - 1 and codes[z, y, x] != codes[z, y, x + 1]
                away = step if differs else away + step
                squares[z, y, x] = min(away * away, squares[z, y, x])


@numba.njit(cache=True, nogil=True)
def _across(codes, squares, stride, block, steps, out):  # type: ignore[no-untyped-def]
    """Squared distances after including another axis.

    Neighbours along the axis are `stride` apart, within blocks of this many voxels. Voxels are
    processed in batches, so that the k-th neighbours of all of them are found in one pass.
    """
    for begin in range(0, len(codes), block):
        end = begin + block
        for low in range(begin, end, _AT_ONCE):
            high = min(low + _AT_ONCE, end)
            best = out[low:high]
            best[:] = squares[low:high]
            for k in range(len(steps)):
                if _largest(best) <= steps[k]:
                    break
                for side in (-1, 1):
                    shift = side * (k + 1) * stride
                    first, last = max(low, begin - shift), min(high, end - shift)
                    if first < last:
                        _nearer(
                            codes[first:last],
                            out[first:last],
                            codes[first + shift : last + shift],
                            squares[first + shift : last + shift],
                            steps[k],
                        )


@numba.njit(cache=True, nogil=True, fastmath=True)
def _nearer(own, best, codes, squares, square):  # type: ignore[no-untyped-def]
    """Compare a line of voxels with a parallel one; simple enough for vector instructions."""
    for x in range(len(own)):
        far = square + (squares[x] if codes[x] == own[x] else np.float32(0))
        best[x] = far if far < best[x] else best[x]


@numba.njit(cache=True, nogil=True, fastmath=True)
def _largest(values):  # type: ignore[no-untyped-def]
    out = np.float32(0)
    for value in values:
        out = value if value > out else out
    return out
