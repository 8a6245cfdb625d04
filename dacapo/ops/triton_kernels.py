"""Warps and targets on a GPU, each in one or two kernels; for where Triton is installed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from dacapo.ops.warp import SourceMap

try:
    import triton
    import triton.language as tl
except ImportError:  # torch for CPUs comes without it
    triton = None

_BLOCK = 256


def available(device: torch.device) -> bool:
    """Whether these kernels run on a device."""
    return triton is not None and device.type == "cuda"


def linear(
    volume: Tensor, source: SourceMap, shape: Sequence[int], low: Tensor, factor: Tensor
) -> Tensor:
    """(C, Z, Y, X) of any type -> (C, *shape) float32; see `dacapo.ops.warp.warp_linear`."""
    volume = volume.contiguous()
    out = torch.empty((volume.shape[0], *shape), device=volume.device)
    num = math.prod(shape)
    _linear[(triton.cdiv(num, _BLOCK),)](
        volume, out, _uploaded(source, volume.device), low, factor, *volume.shape, *shape,
        *source.control_points.shape[1:], BLOCK=_BLOCK,
    )  # fmt: skip
    return out


def nearest(volume: Tensor, source: SourceMap, shape: Sequence[int]) -> tuple[Tensor, Tensor]:
    """(Z, Y, X) of any type -> the same type, and where it is inside; see `warp_nearest`."""
    volume = volume.contiguous()
    out = torch.empty(tuple(shape), dtype=volume.dtype, device=volume.device)
    inside = torch.empty(tuple(shape), dtype=torch.uint8, device=volume.device)
    num = math.prod(shape)
    _nearest[(triton.cdiv(num, _BLOCK),)](
        volume, out, inside, _uploaded(source, volume.device), *volume.shape, *shape,
        *source.control_points.shape[1:], BLOCK=_BLOCK,
    )  # fmt: skip
    return out, inside


def balanced_affinities(
    labels: Tensor,
    mask: Tensor,
    offsets: Sequence[Sequence[int]],
    begin: Sequence[int],
    shape: Sequence[int],
    max_weight: float,
) -> tuple[Tensor, Tensor]:
    """See `dacapo.ops.affinities.balanced_affinities`; all volumes are (B, Z, Y, X)."""
    labels, mask = labels.contiguous(), mask.contiguous()
    num = labels.shape[0] * len(offsets)
    target = torch.empty((labels.shape[0], len(offsets), *shape), device=labels.device)
    weight = torch.empty_like(target)
    counts = torch.zeros((num, 2), dtype=torch.int32, device=labels.device)
    steps = _on_device(tuple(map(tuple, offsets)), labels.device)
    grid = (triton.cdiv(math.prod(shape), 4 * _BLOCK), num)
    places = (labels, mask, steps, counts)
    sizes = (len(offsets), *labels.shape[1:], *shape, *begin)
    _count[grid](*places, *sizes, BLOCK=4 * _BLOCK)
    _write[grid](*places, target, weight, 1 / max_weight, max_weight, *sizes, BLOCK=4 * _BLOCK)
    return target, weight


def _uploaded(source: SourceMap, device: torch.device) -> Tensor:
    """All numbers of a map in one tensor: the first 18, then the control points."""
    parts = (source.matrix, source.offset, source.scale, source.shift, source.control_points)
    numbers = torch.from_numpy(np.concatenate([part.reshape(-1) for part in parts]))
    if device.type == "cuda":
        numbers = numbers.pin_memory()
    return numbers.to(device, non_blocking=True)


@lru_cache(maxsize=64)
def _on_device(offsets: tuple[tuple[int, ...], ...], device: torch.device) -> Tensor:
    return torch.tensor(offsets, dtype=torch.int32).to(device)


if triton is not None:
    _SIZES = ("depth", "height", "width", "size_z", "size_y", "size_x")
    _MAPPED = (*_SIZES, "grid_z", "grid_y", "grid_x")

    @triton.jit
    def _index(i, size_y, size_x):
        """The position of a voxel, given its number."""
        return i // (size_x * size_y), (i // size_x) % size_y, i % size_x

    @triton.jit
    def _between(at, size):
        """The two voxels around a position, and the weight of the second."""
        at = tl.minimum(tl.maximum(at, 0.0), (size - 1).to(tl.float32))
        first = at.to(tl.int32)
        return first, tl.minimum(first + 1, size - 1), at - first.to(tl.float32)

    @triton.jit
    def _displaced(points, z0, z1, y0, y1, x0, x1, wz, wy, wx, grid_y, grid_x):
        """One component of the displacement."""
        row00, row01 = (z0 * grid_y + y0) * grid_x, (z0 * grid_y + y1) * grid_x
        row10, row11 = (z1 * grid_y + y0) * grid_x, (z1 * grid_y + y1) * grid_x
        a, b = tl.load(points + row00 + x0), tl.load(points + row00 + x1)
        upper0 = a + wx * (b - a)
        a, b = tl.load(points + row01 + x0), tl.load(points + row01 + x1)
        upper1 = a + wx * (b - a)
        a, b = tl.load(points + row10 + x0), tl.load(points + row10 + x1)
        lower0 = a + wx * (b - a)
        a, b = tl.load(points + row11 + x0), tl.load(points + row11 + x1)
        lower1 = a + wx * (b - a)
        upper, lower = upper0 + wy * (upper1 - upper0), lower0 + wy * (lower1 - lower0)
        return upper + wz * (lower - upper)

    @triton.jit
    def _source(source, z, y, x, grid_z, grid_y, grid_x):
        """The source of voxels, see `dacapo.ops.warp.SourceMap`."""
        fz, fy, fx = z.to(tl.float32), y.to(tl.float32), x.to(tl.float32)
        z0, z1, wz = _between(fz * tl.load(source + 12) + tl.load(source + 15), grid_z)
        y0, y1, wy = _between(fy * tl.load(source + 13) + tl.load(source + 16), grid_y)
        x0, x1, wx = _between(fx * tl.load(source + 14) + tl.load(source + 17), grid_x)
        points, num = source + 18, grid_z * grid_y * grid_x
        at_z = _displaced(points, z0, z1, y0, y1, x0, x1, wz, wy, wx, grid_y, grid_x)
        at_y = _displaced(points + num, z0, z1, y0, y1, x0, x1, wz, wy, wx, grid_y, grid_x)
        at_x = _displaced(points + 2 * num, z0, z1, y0, y1, x0, x1, wz, wy, wx, grid_y, grid_x)
        at_z += tl.load(source) * fz + tl.load(source + 1) * fy + tl.load(source + 2) * fx
        at_y += tl.load(source + 3) * fz + tl.load(source + 4) * fy + tl.load(source + 5) * fx
        at_x += tl.load(source + 6) * fz + tl.load(source + 7) * fy + tl.load(source + 8) * fx
        return at_z + tl.load(source + 9), at_y + tl.load(source + 10), at_x + tl.load(source + 11)

    @triton.jit(do_not_specialize=("num_channels", *_MAPPED))
    def _linear(
        volume, out, source, low, factor, num_channels, depth, height, width,
        size_z, size_y, size_x, grid_z, grid_y, grid_x, BLOCK: tl.constexpr,
    ):  # fmt: skip
        i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
        num = size_z * size_y * size_x
        exists = i < num
        z, y, x = _index(i, size_y, size_x)
        at_z, at_y, at_x = _source(source, z, y, x, grid_z, grid_y, grid_x)
        z0, z1, wz = _between(at_z, depth)
        y0, y1, wy = _between(at_y, height)
        x0, x1, wx = _between(at_x, width)
        row00, row01 = (z0 * height + y0) * width, (z0 * height + y1) * width
        row10, row11 = (z1 * height + y0) * width, (z1 * height + y1) * width
        channel = tl.zeros((), tl.int64)
        while channel < num_channels:
            v = volume + channel * depth * height * width
            a = tl.load(v + row00 + x0, mask=exists, other=0).to(tl.float32)
            b = tl.load(v + row00 + x1, mask=exists, other=0).to(tl.float32)
            upper0 = a + wx * (b - a)
            a = tl.load(v + row01 + x0, mask=exists, other=0).to(tl.float32)
            b = tl.load(v + row01 + x1, mask=exists, other=0).to(tl.float32)
            upper1 = a + wx * (b - a)
            a = tl.load(v + row10 + x0, mask=exists, other=0).to(tl.float32)
            b = tl.load(v + row10 + x1, mask=exists, other=0).to(tl.float32)
            lower0 = a + wx * (b - a)
            a = tl.load(v + row11 + x0, mask=exists, other=0).to(tl.float32)
            b = tl.load(v + row11 + x1, mask=exists, other=0).to(tl.float32)
            lower1 = a + wx * (b - a)
            upper, lower = upper0 + wy * (upper1 - upper0), lower0 + wy * (lower1 - lower0)
            value = upper + wz * (lower - upper)
            value = (value - tl.load(low + channel)) * tl.load(factor + channel)
            tl.store(out + channel * num + i, value, mask=exists)
            channel += 1

    @triton.jit(do_not_specialize=_MAPPED)
    def _nearest(
        volume, out, inside, source, depth, height, width,
        size_z, size_y, size_x, grid_z, grid_y, grid_x, BLOCK: tl.constexpr,
    ):  # fmt: skip
        i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
        exists = i < size_z * size_y * size_x
        z, y, x = _index(i, size_y, size_x)
        at_z, at_y, at_x = _source(source, z, y, x, grid_z, grid_y, grid_x)
        z = tl.floor(at_z + 0.5).to(tl.int32)
        y = tl.floor(at_y + 0.5).to(tl.int32)
        x = tl.floor(at_x + 0.5).to(tl.int32)
        known = exists & (z >= 0) & (z < depth) & (y >= 0) & (y < height) & (x >= 0) & (x < width)
        found = tl.load(volume + (z * height + y) * width + x, mask=known, other=0)
        tl.store(out + i, found, mask=exists)
        tl.store(inside + i, known.to(tl.uint8), mask=exists)

    @triton.jit
    def _affinity(
        labels, mask, steps, num_channels, depth, height, width,
        size_z, size_y, size_x, begin_z, begin_y, begin_x, i,
    ):  # fmt: skip
        """Whether voxels of one channel are of the same object, and whether that is known."""
        sample, channel = tl.program_id(1) // num_channels, tl.program_id(1) % num_channels
        z, y, x = _index(i, size_y, size_x)
        z, y, x = z + begin_z, y + begin_y, x + begin_x
        to_z = z + tl.load(steps + 3 * channel)
        to_y = y + tl.load(steps + 3 * channel + 1)
        to_x = x + tl.load(steps + 3 * channel + 2)
        exists = i < size_z * size_y * size_x
        exists &= (to_z >= 0) & (to_z < depth) & (to_y >= 0) & (to_y < height)
        exists &= (to_x >= 0) & (to_x < width)
        first = sample.to(tl.int64) * depth * height * width
        here = first + (z * height + y) * width + x
        there = first + (to_z * height + to_y) * width + to_x
        label = tl.load(labels + here, mask=exists, other=0)
        same = (label == tl.load(labels + there, mask=exists, other=0)) & (label != 0)
        known = tl.load(mask + here, mask=exists, other=0) != 0
        known &= tl.load(mask + there, mask=exists, other=0) != 0
        return same, known

    @triton.jit(do_not_specialize=("num_channels", *_SIZES, "begin_z", "begin_y", "begin_x"))
    def _count(
        labels, mask, steps, counts, num_channels, depth, height, width,
        size_z, size_y, size_x, begin_z, begin_y, begin_x, BLOCK: tl.constexpr,
    ):  # fmt: skip
        i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
        same, known = _affinity(
            labels, mask, steps, num_channels, depth, height, width,
            size_z, size_y, size_x, begin_z, begin_y, begin_x, i,
        )  # fmt: skip
        place = counts + 2 * tl.program_id(1)
        tl.atomic_add(place, tl.sum(known.to(tl.int32), 0))
        tl.atomic_add(place + 1, tl.sum((known & same).to(tl.int32), 0))

    @triton.jit(
        do_not_specialize=(
            "low", "high", "num_channels", *_SIZES, "begin_z", "begin_y", "begin_x"
        )
    )  # fmt: skip
    def _write(
        labels, mask, steps, counts, target, weight, low, high, num_channels, depth, height, width,
        size_z, size_y, size_x, begin_z, begin_y, begin_x, BLOCK: tl.constexpr,
    ):  # fmt: skip
        i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
        same, known = _affinity(
            labels, mask, steps, num_channels, depth, height, width,
            size_z, size_y, size_x, begin_z, begin_y, begin_x, i,
        )  # fmt: skip
        total = tl.load(counts + 2 * tl.program_id(1)).to(tl.float64)
        ones = tl.load(counts + 2 * tl.program_id(1) + 1).to(tl.float64)
        of_one = tl.minimum(tl.maximum(total / (2 * tl.maximum(ones, 1.0)), low), high)
        of_zero = tl.minimum(tl.maximum(total / (2 * tl.maximum(total - ones, 1.0)), low), high)
        both = (ones > 0) & (ones < total)
        of_one = tl.where(both, of_one, 1.0).to(tl.float32)
        of_zero = tl.where(both, of_zero, 1.0).to(tl.float32)
        num = size_z * size_y * size_x
        place = tl.program_id(1).to(tl.int64) * num + i
        value = tl.where(known, tl.where(same, of_one, of_zero), 0.0)
        tl.store(target + place, same.to(tl.float32), mask=i < num)
        tl.store(weight + place, value, mask=i < num)
