"""Smooth deformations: each voxel of a crop takes its value from another place of a volume."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dacapo.errors import InputError
from dacapo.ops import triton_kernels, warp_torch

Floats = np.ndarray[Any, np.dtype[np.float64]]
_SLACK = 0.01
"""Voxels by which a region is larger than rounding could make it."""


@dataclass(frozen=True)
class Warp:
    """The source of a voxel: matrix * its position relative to the centre, plus a displacement.

    Attributes:
        matrix: (dims, dims).
        control_points: (dims, *grid), displacements in world units, interpolated linearly and
            constant beyond the grid, which is centred; None: no displacement.
        control_point_spacing: distance between control points, in world units.
    """

    matrix: Floats
    control_points: Floats | None = None
    control_point_spacing: float = 1.0

    def after(self, earlier: Warp | None) -> Warp:
        """The composition of both warps.

        Raises:
            InputError: both have a displacement.
        """
        if earlier is None:
            return self
        if self.control_points is not None and earlier.control_points is not None:
            raise InputError(
                "trainer.augments: only one warp of a sample may have control points, as "
                "trainer/augments=elastic has"
            )
        field = self if self.control_points is not None else earlier
        return Warp(self.matrix @ earlier.matrix, field.control_points, field.control_point_spacing)

    def source_of(
        self, shape: Sequence[int], voxel_size: Sequence[float]
    ) -> tuple[list[int], list[int]]:
        """The box of voxels that a crop is interpolated from.

        Args:
            shape, voxel_size: of the crop; voxels of the source have the same size.

        Returns:
            Its begin, relative to the first voxel of the crop, and its shape.
        """
        size = np.asarray(voxel_size, np.float64)
        half = (np.asarray(shape) - 1) / 2
        reach = np.abs(self._in_voxels(size)) @ half
        low, high = -reach, reach
        if self.control_points is not None:
            shift = self.control_points.reshape(len(shape), -1) / size[:, None]
            low, high = low + shift.min(axis=1), high + shift.max(axis=1)
        begin = np.floor(half + low - _SLACK).astype(int)
        end = np.ceil(half + high + _SLACK).astype(int) + 1
        return begin.tolist(), (end - begin).tolist()

    def _in_voxels(self, size: Floats) -> Floats:
        in_voxels: Floats = self.matrix * size / size[:, None]
        return in_voxels


@dataclass(frozen=True)
class SourceMap:
    """The source voxel of each output voxel, for kernels; a 2D volume has one section.

    The source of the voxel with index i is matrix * i + offset, plus the displacement at index
    scale * i + shift of the control points.

    Attributes:
        matrix, offset: (3, 3) and (3,) float32.
        control_points: (3, *grid) float32, in voxels.
        scale, shift: (3,) float32.
    """

    matrix: np.ndarray[Any, np.dtype[np.float32]]
    offset: np.ndarray[Any, np.dtype[np.float32]]
    control_points: np.ndarray[Any, np.dtype[np.float32]]
    scale: np.ndarray[Any, np.dtype[np.float32]]
    shift: np.ndarray[Any, np.dtype[np.float32]]

    @classmethod
    def of(
        cls, warp: Warp, shape: Sequence[int], voxel_size: Sequence[float], begin: Sequence[float]
    ) -> SourceMap:
        """The map from the voxels of a crop to those of a volume.

        Args:
            shape: of the crop.
            begin: the first voxel of the volume, relative to that of the crop.
        """
        dims = len(shape)
        size = np.asarray(voxel_size, np.float64)
        half = (np.asarray(shape) - 1) / 2
        matrix, offset = np.eye(3), np.zeros(3)
        matrix[-dims:, -dims:] = warp._in_voxels(size)
        offset[-dims:] = half - matrix[-dims:, -dims:] @ half - np.asarray(begin)
        points, scale, shift = np.zeros((3, 1, 1, 1)), np.zeros(3), np.zeros(3)
        if warp.control_points is not None:
            grid = warp.control_points.shape[1:]
            points = np.zeros((3, *(1,) * (3 - dims), *grid))
            points[-dims:] = (warp.control_points.T / size).T.reshape(dims, *points.shape[1:])
            scale[-dims:] = size / warp.control_point_spacing
            shift[-dims:] = (np.asarray(grid) - 1) / 2 - scale[-dims:] * half
        return cls(*(np.ascontiguousarray(a, np.float32)
                     for a in (matrix, offset, points, scale, shift)))  # fmt: skip


def warp_linear(
    volume: Tensor,
    begin: Sequence[int],
    warp: Warp,
    shape: Sequence[int],
    voxel_size: Sequence[float],
    low: Tensor,
    factor: Tensor,
) -> Tensor:
    """Interpolate a crop linearly, and then scale its values; the border is repeated beyond the
    volume.

    Args:
        volume: (C, *spatial), integers of up to 32 bits or float32.
        begin: the first voxel of the volume, relative to that of the crop.
        shape, voxel_size: of the crop.
        low, factor: (C,) float32: what is subtracted from values, and then multiplies them.

    Returns:
        (C, *shape) float32.
    """
    source = SourceMap.of(warp, shape, voxel_size, begin)
    flat = (1,) * (3 - len(shape))
    given = volume.reshape(len(volume), *flat, *volume.shape[1:])
    kernels = _kernels(volume.device)
    out: Tensor = kernels.linear(given, source, (*flat, *shape), low, factor)
    return out.reshape(-1, *shape)


def warp_nearest(
    volume: Tensor,
    begin: Sequence[int],
    warp: Warp,
    shape: Sequence[int],
    voxel_size: Sequence[float],
) -> tuple[Tensor, Tensor]:
    """The nearest voxel for each voxel of a crop; integers of any size are preserved.

    Args:
        volume: (*spatial), of any type.
        begin: the first voxel of the volume, relative to that of the crop.
        shape, voxel_size: of the crop.

    Returns:
        (*shape) of the volume's type, 0 outside of the volume; and (*shape) uint8, 1 inside.
    """
    source = SourceMap.of(warp, shape, voxel_size, begin)
    flat = (1,) * (3 - len(shape))
    given = volume.reshape(*flat, *volume.shape)
    out, inside = _kernels(volume.device).nearest(given, source, (*flat, *shape))
    return out.reshape(*shape), inside.reshape(*shape)


def _kernels(device: torch.device) -> ModuleType:
    """A module with the functions `linear` and `nearest`."""
    if device.type == "cpu":
        from dacapo.ops import warp_cpu  # numba is imported here

        return warp_cpu
    return triton_kernels if triton_kernels.available(device) else warp_torch


def rotation(dims: int, plane: tuple[int, int], angle: float) -> Floats:
    """The matrix of a rotation by `angle` (radians) in the plane of two axes."""
    matrix = np.eye(dims)
    first, second = plane
    matrix[first, first] = matrix[second, second] = math.cos(angle)
    matrix[first, second], matrix[second, first] = -math.sin(angle), math.sin(angle)
    return matrix


def control_grid_shape(size: Sequence[float], control_point_spacing: float) -> list[int]:
    """The odd number of control points along each axis that covers a volume of this size."""
    return [2 * math.ceil(s / 2 / control_point_spacing) + 1 for s in size]


def planes(voxel_size: Sequence[int]) -> list[tuple[int, int]]:
    """Pairs of axes with equal voxel size, within which a volume may be rotated.

    >>> planes((40, 4, 4))
    [(1, 2)]
    """
    axes = itertools.combinations(range(len(voxel_size)), 2)
    return [(a, b) for a, b in axes if voxel_size[a] == voxel_size[b]]
