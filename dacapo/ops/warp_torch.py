"""Warps by torch's own operations, for a GPU without Triton."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from dacapo.ops.integers import as_float, same_bits

if TYPE_CHECKING:
    from dacapo.ops.warp import SourceMap


def linear(
    volume: Tensor, source: SourceMap, shape: Sequence[int], low: Tensor, factor: Tensor
) -> Tensor:
    """(C, Z, Y, X) -> (C, *shape) float32; see `dacapo.ops.warp.warp_linear`."""
    at = _positions(source, shape, volume.device)
    size = torch.tensor(volume.shape[1:], device=volume.device).reshape(3, 1, 1, 1)
    grid = ((2 * at + 1) / size - 1).flip(0).movedim(0, -1)
    out = grid_sample(
        as_float(volume)[None], grid[None], padding_mode="border", align_corners=False
    )[0]
    return (out - low.reshape(-1, 1, 1, 1)) * factor.reshape(-1, 1, 1, 1)


def nearest(volume: Tensor, source: SourceMap, shape: Sequence[int]) -> tuple[Tensor, Tensor]:
    """(Z, Y, X) -> the same type, and where it is inside; see `dacapo.ops.warp.warp_nearest`."""
    at = (_positions(source, shape, volume.device) + 0.5).floor().long()
    size = torch.tensor(volume.shape, device=volume.device).reshape(3, 1, 1, 1)
    inside = ((at >= 0) & (at < size)).all(0)
    z, y, x = at.where(inside, at.new_zeros(()))
    found = same_bits(volume)[z, y, x]
    out = found.where(inside, found.new_zeros(())).view(volume.dtype)
    return out, inside.to(torch.uint8)


def _positions(source: SourceMap, shape: Sequence[int], device: torch.device) -> Tensor:
    """The source voxels of a crop, (3, *shape) float32."""
    points = torch.from_numpy(source.control_points).to(device)
    axes = [torch.arange(n, dtype=torch.float32, device=device) for n in shape]
    at = points
    for axis, index in enumerate(axes):
        num = points.shape[axis + 1]
        where = (index * float(source.scale[axis]) + float(source.shift[axis])).clamp(0, num - 1)
        distance = (where[:, None] - torch.arange(num, device=device)).abs()
        at = torch.tensordot((1 - distance).clamp_min(0), at, ([1], [axis + 1])).movedim(
            0, axis + 1
        )
    for row in range(3):
        at[row] += float(source.offset[row])
        for axis, index in enumerate(axes):
            along = index.reshape(-1, *[1] * (2 - axis))
            at[row] += float(source.matrix[row, axis]) * along
    return at
