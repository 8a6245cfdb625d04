"""Weights that balance rare and frequent classes."""

from __future__ import annotations

import torch
from torch import Tensor


def balance(target: Tensor, known: Tensor, max_weight: float = 20.0) -> Tensor:
    """Balance the two classes of a binary target, per channel and per sample.

    Args:
        target: (B, C, *spatial), 0 or 1.
        known: (B, C, *spatial), nonzero where the target is known.
        max_weight: bounds the weights to [1 / max_weight, max_weight]; 1: no balancing.

    Returns:
        (B, C, *spatial) float32: n / (2 n_class) where known, 0 elsewhere. Both classes then have
        the same total weight and the mean over the known voxels is 1, unless a bound applies. A
        channel with a single class has weight 1.
    """
    # A rare class would dominate the gradient without a bound: one voxel of a million would weigh
    # as much as all others together, and its label may be wrong.
    known = known != 0
    positive = known & (target != 0)
    total, ones = _count(known), _count(positive)
    zeros = total - ones
    both = (ones > 0) & (zeros > 0)
    of_one, of_zero = (
        torch.where(both, total / (2 * count.clamp_min(1)), torch.ones_like(total))
        .clamp(1 / max_weight, max_weight)
        .float()
        for count in (ones, zeros)
    )
    return torch.where(positive, of_one, torch.where(known, of_zero, 0.0))


def _count(part: Tensor) -> Tensor:
    """The number of true voxels of each channel, (B, C, 1...)."""
    # Channel by channel: counting contiguous memory is many times faster than along axes.
    each = torch.stack([torch.count_nonzero(c) for c in part.flatten(0, 1)])
    return each.double().reshape(*part.shape[:2], *[1] * (part.ndim - 2))
