"""Smooth deformations of a crop."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import grid_sample


def rotation(dims: int, plane: tuple[int, int], angle: float) -> Tensor:
    """The matrix of a rotation by `angle` (radians) in the plane of two axes."""
    matrix = torch.eye(dims)
    first, second = plane
    matrix[first, first] = matrix[second, second] = math.cos(angle)
    matrix[first, second], matrix[second, first] = -math.sin(angle), math.sin(angle)
    return matrix


def warped_positions(
    shape: Sequence[int],
    voxel_size: Sequence[float],
    matrix: Tensor,
    control_points: Tensor | None,
    control_point_spacing: float,
) -> Tensor:
    """The source positions of a volume's voxels under a matrix and a displacement field.

    Args:
        shape: in voxels.
        voxel_size: in world units.
        matrix: (dims, dims).
        control_points: (dims, *grid), displacements in world units, interpolated linearly; None: no
            displacement field.
        control_point_spacing: distance between control points, which are centred on the volume;
            their number along each axis is odd.

    Returns:
        (dims, *shape), world positions relative to the centre.
    """
    dims = len(shape)
    axes = [
        (torch.arange(n, dtype=torch.float32, device=matrix.device) + 0.5 - n / 2) * size
        for n, size in zip(shape, voxel_size, strict=True)
    ]
    if control_points is None:
        at = torch.zeros((dims, *shape), device=matrix.device)
    else:
        at = control_points
        for axis, positions in enumerate(axes, start=1):
            num = control_points.shape[axis]
            points = torch.arange(num, device=control_points.device) - (num - 1) / 2
            distance = (positions[:, None] / control_point_spacing - points).abs()  # (n, num)
            weights = (1 - distance).clamp_min(0)
            at = torch.tensordot(weights, at, ([1], [axis])).movedim(0, axis)
        at = at.contiguous()
    for axis, positions in enumerate(axes):
        along = positions.reshape(-1, *[1] * (dims - 1 - axis))
        for row in range(dims):
            at[row] += matrix[row, axis] * along
    return at


def resample(volume: Tensor, at: Tensor, size: Sequence[float], interpolate: bool) -> Tensor:
    """Sample a volume at world positions relative to its centre.

    Args:
        volume: (C, *spatial) float32; integers up to 2^24 are preserved without interpolation.
        at: (dims, *shape).
        size: extent of the volume in world units.
        interpolate: linear interpolation, with the border repeated outside; otherwise nearest
            neighbour, with 0 outside.

    Returns:
        (C, *shape).
    """
    mode, padding = ("bilinear", "border") if interpolate else ("nearest", "zeros")
    grid = torch.stack([a / (s / 2) for a, s in zip(at, size, strict=True)][::-1], dim=-1)
    return grid_sample(volume[None], grid[None], mode, padding, align_corners=False)[0]


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
