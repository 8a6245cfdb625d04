"""Weights that balance rare and frequent classes."""

from __future__ import annotations

import torch
from torch import Tensor


def balance(target: Tensor, known: Tensor, max_weight: float = 20.0) -> Tensor:
    """Balance the two classes of a binary target, per channel and per sample.

    Args:
        target: (B, C, *spatial), 0 or 1.
        known: (B, C, *spatial), nonzero where the target is known.
        max_weight: largest weight of the rarer class relative to the other; 1: no balancing.

    Returns:
        (B, C, *spatial) float32: n / (2 n_class) where known, 0 elsewhere; its mean over the known
        voxels is 1. A channel with a single class has weight 1.
    """
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
    each = torch.stack(
        [torch.count_nonzero(c) for c in part.flatten(0, 1)]
    )  # summing is fast over contiguous memory
    return each.double().reshape(*part.shape[:2], *[1] * (part.ndim - 2))
