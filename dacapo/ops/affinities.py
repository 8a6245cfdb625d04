"""Voxel affinities: does a voxel belong to the same object as its neighbour at an offset?"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dacapo.ops import triton_kernels
from dacapo.ops.weights import balance

Offsets = Sequence[Sequence[int]]
Index = tuple[slice, ...]


def affinities(labels: Tensor, offsets: Offsets) -> Tensor:
    """1 where a voxel and the one at `voxel + offset` have the same label other than 0.

    Args:
        labels: (B, *spatial), integers.
        offsets: in voxels, positive or negative, one output channel each.

    Returns:
        (B, len(offsets), *spatial) uint8; 0 where the neighbour is outside. Turaga et al. 2010.
    """
    out = labels.new_zeros((labels.shape[0], len(offsets), *labels.shape[1:]), dtype=torch.uint8)
    for channel, offset in enumerate(offsets):
        here, there = _windows(labels.shape[1:], offset)
        ours, theirs = labels[here], labels[there]
        out[:, channel][here] = (ours == theirs) & (ours != 0)
    return out


def both_known(mask: Tensor, offsets: Offsets) -> Tensor:
    """Where an affinity is known: the voxel and its neighbour are both annotated.

    Args:
        mask: (B, *spatial), nonzero where annotated.

    Returns:
        (B, len(offsets), *spatial) uint8; 0 where the neighbour is outside.
    """
    known = mask != 0
    out = mask.new_zeros((mask.shape[0], len(offsets), *mask.shape[1:]), dtype=torch.uint8)
    for channel, offset in enumerate(offsets):
        here, there = _windows(mask.shape[1:], offset)
        out[:, channel][here] = known[here] & known[there]
    return out


def balanced_affinities(
    labels: Tensor,
    mask: Tensor,
    offsets: Offsets,
    region: Index,
    max_weight: float,
) -> tuple[Tensor, Tensor]:
    """Affinities, and weights that balance their two classes, computed together.

    Args:
        labels, mask: (B, *spatial), see `affinities` and `both_known`; 2D or 3D.
        region: the part of the spatial axes that is balanced and returned; the rest is context.
        max_weight: see `dacapo.ops.weights.balance`.

    Returns:
        Twice (B, len(offsets), *region) float32: target and weight.
    """
    on_cpu = labels.device.type == "cpu"
    if not on_cpu and not triton_kernels.available(labels.device):
        target = affinities(labels, offsets)[:, :, *region]
        known = both_known(mask, offsets)[:, :, *region]
        return target.float(), balance(target, known, max_weight)
    flat = (1,) * (4 - labels.ndim)
    bounds = [part.indices(size) for part, size in zip(region, labels.shape[1:], strict=True)]
    begin = [0 for _ in flat] + [first for first, _, _ in bounds]
    shape = [*flat, *(last - first for first, last, _ in bounds)]
    steps = [[0 for _ in flat] + list(offset) for offset in offsets]
    codes, known = (t.reshape(t.shape[0], *flat, *t.shape[1:]) for t in (labels, mask))
    if on_cpu:
        from dacapo.ops import affinities_cpu  # numba is imported here

        made = affinities_cpu.balanced_affinities(codes, known, steps, begin, shape, max_weight)
    else:
        made = triton_kernels.balanced_affinities(codes, known, steps, begin, shape, max_weight)
    target, weight = (t.reshape(*t.shape[:2], *shape[len(flat) :]) for t in made)
    return target, weight


def reach(offsets: Offsets) -> tuple[list[int], list[int]]:
    """How many voxels below and above a region its affinities depend on.

    >>> reach([[1, 0], [0, -3]])
    ([0, 3], [1, 0])
    """
    axes = list(zip(*offsets, strict=True))
    return [max(0, -min(a)) for a in axes], [max(0, *a) for a in axes]


def _windows(shape: Sequence[int], offset: Sequence[int]) -> tuple[Index, Index]:
    """Slices of (B, *shape): the voxels whose neighbour exists, and those neighbours."""
    here, there = [slice(None)], [slice(None)]
    for size, step in zip(shape, offset, strict=True):
        begin, end = max(0, -step), max(0, min(size, size - step))
        here.append(slice(begin, max(begin, end)))
        there.append(slice(begin + step, max(begin, end) + step))
    return tuple(here), tuple(there)
