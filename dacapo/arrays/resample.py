"""Another voxel size, lazily."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from funlib.geometry import Coordinate, Roi

from dacapo.arrays.array import Array
from dacapo.arrays.units import from_world
from dacapo.arrays.views import lazy
from dacapo.errors import InputError

Voxels = np.ndarray[Any, Any]


def resample(array: Array, voxel_size: Coordinate, interpolate: bool) -> Array:
    """Resample to another voxel size, keeping the corner.

    Coarser voxels take the mean of the voxels that they cover, finer ones interpolate linearly
    between centres; without interpolation each takes the value at its centre (that of the lower
    voxel if the centre is on a border). The region is truncated to whole voxels.

    Args:
        voxel_size: in world units.
        interpolate: whether values between those of two voxels are meaningful.
    """
    if voxel_size == array.voxel_size:
        return array
    shape = array.roi.shape // voxel_size
    if min(shape) < 1:
        raise InputError(
            f"{array.name}: a voxel of {from_world(voxel_size, array.unit)} {array.unit} is larger "
            f"than {array.extent()}"
        )
    roi = Roi(array.offset, shape * voxel_size)
    dtype = np.dtype(np.float32) if interpolate else array.dtype

    def read(wanted: Roi) -> Voxels:
        grids = [
            _weights(b, b + s, new, old, n, interpolate)
            for b, s, new, old, n in zip(
                (wanted.offset - array.offset) / voxel_size, wanted.shape / voxel_size,
                voxel_size, array.voxel_size, array.shape, strict=True,
            )
        ]  # fmt: skip
        begin = Coordinate(g.begin for g in grids)
        size = Coordinate(g.length for g in grids)
        block = Roi(array.offset + begin * array.voxel_size, size * array.voxel_size)
        out = array.read(block)
        for axis, grid in enumerate(grids, start=-array.dims):
            if interpolate:
                moved = np.moveaxis(out.astype(np.float32, copy=False), axis, -1)
                out = np.moveaxis(moved @ grid.matrix, -1, axis)
            else:
                out = out.take(grid.nearest, axis=axis)
        return out.astype(dtype, copy=False)

    return lazy(array, roi, array.channel_shape, dtype, read, voxel_size)


@dataclass(frozen=True)
class _Grid:
    """How old voxels, from `begin` on, are combined into new ones along one axis."""

    begin: int
    length: int
    matrix: Voxels
    nearest: Voxels


def _weights(first: int, last: int, new: int, old: int, num: int, interpolate: bool) -> _Grid:
    """Weights (old, new), or for each new voxel the old one at its centre.

    Args:
        first, last: range of new voxels, half-open.
        new, old: sizes of the voxels.
        num: number of old voxels.
    """
    at = np.arange(first, last)
    if not interpolate:
        # The centre lies at (2 at + 1) new / 2; on a border the lower voxel is taken.
        index = ((2 * at + 1) * new - 1) // (2 * old)
        return _Grid(int(index[0]), int(index[-1] - index[0]) + 1, index, index - index[0])
    if new >= old:
        low, high = at * new, (at + 1) * new
        begin, end = int(low[0] // old), -int(-high[-1] // old)
        edges = np.arange(begin, end)[:, None] * old
        cover = np.minimum(edges + old, high) - np.maximum(edges, low)
        matrix = np.clip(cover, 0, None) / new
    else:
        # in units of old voxels, relative to their centres
        place = ((2 * at + 1) * new - old) / (2 * old)
        place = np.clip(place, 0, num - 1)
        left = np.minimum(np.floor(place).astype(int), max(num - 2, 0))
        begin, end = int(left[0]), min(int(left[-1]) + 2, num)
        rows = np.arange(begin, end)[:, None]
        matrix = np.clip(1 - np.abs(place - rows), 0, None)
    return _Grid(begin, end - begin, matrix.astype(np.float32), at)
