"""Warps on the CPU: the source of each voxel is computed where its value is looked up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numba
import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from dacapo.ops.warp import SourceMap


def linear(
    volume: Tensor, source: SourceMap, shape: Sequence[int], low: Tensor, factor: Tensor
) -> Tensor:
    """(C, Z, Y, X) of any type -> (C, *shape) float32; see `dacapo.ops.warp.warp_linear`."""
    out = np.empty((volume.shape[0], *shape), np.float32)
    _linear(
        volume.contiguous().numpy(), source.matrix, source.offset, source.control_points,
        source.scale, source.shift, low.numpy(), factor.numpy(), out,
    )  # fmt: skip
    return torch.from_numpy(out)


def nearest(volume: Tensor, source: SourceMap, shape: Sequence[int]) -> tuple[Tensor, Tensor]:
    """(Z, Y, X) of any type -> the same type, and where it is inside; see `warp_nearest`."""
    values = volume.contiguous().numpy()
    out, inside = np.empty(shape, values.dtype), np.empty(shape, np.uint8)
    _nearest(
        values, source.matrix, source.offset, source.control_points, source.scale, source.shift,
        out, inside,
    )  # fmt: skip
    return torch.from_numpy(out), torch.from_numpy(inside)


@numba.njit(cache=True, nogil=True)
def _row(points, scale, shift, z, y, row):  # type: ignore[no-untyped-def]
    """The displacements (3, num) along the control points of the row at z and y."""
    _, depth, height, width = points.shape
    at_z = min(max(z * scale[0] + shift[0], np.float32(0)), np.float32(depth - 1))
    at_y = min(max(y * scale[1] + shift[1], np.float32(0)), np.float32(height - 1))
    z0, y0 = int(at_z), int(at_y)
    z1, y1 = min(z0 + 1, depth - 1), min(y0 + 1, height - 1)
    fz, fy = at_z - np.float32(z0), at_y - np.float32(y0)
    for axis in range(3):
        for x in range(width):
            upper = points[axis, z0, y0, x] + fy * (
                points[axis, z0, y1, x] - points[axis, z0, y0, x]
            )
            lower = points[axis, z1, y0, x] + fy * (
                points[axis, z1, y1, x] - points[axis, z1, y0, x]
            )
            row[axis, x] = upper + fz * (lower - upper)


@numba.njit(cache=True, nogil=True, inline="always")
def _along(row, scale, shift, x):  # type: ignore[no-untyped-def]
    """The two control points around x, and the weight of the second."""
    width = row.shape[1]
    at = min(max(np.float32(x) * scale + shift, np.float32(0)), np.float32(width - 1))
    first = int(at)
    return first, min(first + 1, width - 1), at - np.float32(first)


@numba.njit(cache=True, nogil=True, inline="always")
def _around(at, size):  # type: ignore[no-untyped-def]
    """The two voxels around a position, and the weight of the second; the border is repeated."""
    at = min(max(at, np.float32(0)), np.float32(size - 1))
    first = int(at)
    return first, min(first + 1, size - 1), at - np.float32(first)


@numba.njit(cache=True, nogil=True, inline="always")
def _pair(volume, channel, z, y, first, second):  # type: ignore[no-untyped-def]
    """Two voxels of a line."""
    a, b = volume[channel, z, y, first], volume[channel, z, y, second]
    return np.float32(a), np.float32(b)


@numba.njit(cache=True, nogil=True)
def _linear(  # type: ignore[no-untyped-def]
    volume, matrix, offset, points, scale, shift, low, factor, out
):
    num, depth, height, width = volume.shape
    row = np.empty((3, points.shape[3]), np.float32)
    for z in range(out.shape[1]):
        for y in range(out.shape[2]):
            fz, fy = np.float32(z), np.float32(y)
            _row(points, scale, shift, fz, fy, row)
            begin_z = matrix[0, 0] * fz + matrix[0, 1] * fy + offset[0]
            begin_y = matrix[1, 0] * fz + matrix[1, 1] * fy + offset[1]
            begin_x = matrix[2, 0] * fz + matrix[2, 1] * fy + offset[2]
            for x in range(out.shape[3]):
                k, j, f = _along(row, scale[2], shift[2], x)
                fx = np.float32(x)
                at_z = begin_z + matrix[0, 2] * fx + row[0, k] + f * (row[0, j] - row[0, k])
                at_y = begin_y + matrix[1, 2] * fx + row[1, k] + f * (row[1, j] - row[1, k])
                at_x = begin_x + matrix[2, 2] * fx + row[2, k] + f * (row[2, j] - row[2, k])
                z0, z1, wz = _around(at_z, depth)
                y0, y1, wy = _around(at_y, height)
                x0, x1, wx = _around(at_x, width)
                for c in range(num):
                    v000, v001 = _pair(volume, c, z0, y0, x0, x1)
                    v010, v011 = _pair(volume, c, z0, y1, x0, x1)
                    v100, v101 = _pair(volume, c, z1, y0, x0, x1)
                    v110, v111 = _pair(volume, c, z1, y1, x0, x1)
                    v00, v01 = v000 + wx * (v001 - v000), v010 + wx * (v011 - v010)
                    v10, v11 = v100 + wx * (v101 - v100), v110 + wx * (v111 - v110)
                    v0, v1 = v00 + wy * (v01 - v00), v10 + wy * (v11 - v10)
                    out[c, z, y, x] = (v0 + wz * (v1 - v0) - low[c]) * factor[c]


@numba.njit(cache=True, nogil=True)
def _nearest(volume, matrix, offset, points, scale, shift, out, inside):  # type: ignore[no-untyped-def]
    depth, height, width = volume.shape
    half = np.float32(0.5)
    row = np.empty((3, points.shape[3]), np.float32)
    for z in range(out.shape[0]):
        for y in range(out.shape[1]):
            fz, fy = np.float32(z), np.float32(y)
            _row(points, scale, shift, fz, fy, row)
            begin_z = matrix[0, 0] * fz + matrix[0, 1] * fy + offset[0] + half
            begin_y = matrix[1, 0] * fz + matrix[1, 1] * fy + offset[1] + half
            begin_x = matrix[2, 0] * fz + matrix[2, 1] * fy + offset[2] + half
            for x in range(out.shape[2]):
                k, j, f = _along(row, scale[2], shift[2], x)
                fx = np.float32(x)
                at_z = begin_z + matrix[0, 2] * fx + row[0, k] + f * (row[0, j] - row[0, k])
                at_y = begin_y + matrix[1, 2] * fx + row[1, k] + f * (row[1, j] - row[1, k])
                at_x = begin_x + matrix[2, 2] * fx + row[2, k] + f * (row[2, j] - row[2, k])
                iz, iy, ix = int(np.floor(at_z)), int(np.floor(at_y)), int(np.floor(at_x))
                known = 0 <= iz < depth and 0 <= iy < height and 0 <= ix < width
                inside[z, y, x] = known
                if known:
                    out[z, y, x] = volume[iz, iy, ix]
                else:
                    out[z, y, x] = 0
