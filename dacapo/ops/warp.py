"""Smooth deformations of a crop."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor
from torch.nn.functional import grid_sample


def rotation(dims: int, plane: tuple[int, int], angle: float) -> Tensor:
    """The matrix that turns by `angle` (radians) in the plane of two axes."""
    matrix = torch.eye(dims)
    first, second = plane
    matrix[first, first] = matrix[second, second] = math.cos(angle)
    matrix[first, second], matrix[second, first] = -math.sin(angle), math.sin(angle)
    return matrix


def positions(shape: tuple[int, ...], voxel_size: tuple[float, ...]) -> Tensor:
    """World positions of the voxels' centres relative to the volume's centre: (*shape, dims)."""
    axes = [
        (torch.arange(n, dtype=torch.float32) + 0.5 - n / 2) * size
        for n, size in zip(shape, voxel_size, strict=True)
    ]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)


def displacement(at: Tensor, knots: Tensor, spacing: float) -> Tensor:
    """A random field, linear between knots that lie `spacing` apart around the centre.

    Args:
        at: (*shape, dims), world positions relative to the centre.
        knots: (dims, *grid), displacements in world units, an odd number along each axis.
    """
    half = at.new_tensor([(n - 1) / 2 * spacing for n in knots.shape[1:]])
    field = _sample(knots[None], at / half, mode="bilinear", align_corners=True)
    return field[0].movedim(0, -1)


def resample(volume: Tensor, at: Tensor, size: tuple[float, ...], interpolate: bool) -> Tensor:
    """Values of a volume at world positions relative to its centre.

    Args:
        volume: (C, *spatial) float32; whole numbers up to 2^24 survive without interpolation.
        at: (*shape, dims).
        size: extent of the volume in world units.
        interpolate: linear, the border voxel repeated beyond; otherwise nearest, 0 beyond.
    """
    half = at.new_tensor([s / 2 for s in size])
    mode, padding = ("bilinear", "border") if interpolate else ("nearest", "zeros")
    return _sample(volume[None], at / half, mode, padding)[0]


def knots_for(size: tuple[float, ...], spacing: float) -> list[int]:
    """How many knots along each axis cover a volume of this size, an odd number."""
    return [2 * math.ceil(s / 2 / spacing) + 1 for s in size]


def _sample(
    volume: Tensor, at: Tensor, mode: str, padding: str = "border", align_corners: bool = False
) -> Tensor:
    return grid_sample(
        volume, at.flip(-1)[None], mode=mode, padding_mode=padding, align_corners=align_corners
    )


def planes(voxel_size: tuple[int, ...]) -> list[tuple[int, int]]:
    """Pairs of axes with equal voxel size: those within which one may turn.

    >>> planes((40, 4, 4))
    [(1, 2)]
    """
    axes = itertools.combinations(range(len(voxel_size)), 2)
    return [(a, b) for a, b in axes if voxel_size[a] == voxel_size[b]]
