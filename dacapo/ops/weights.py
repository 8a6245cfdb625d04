"""Weights that let a rare class count as much as a frequent one."""

from __future__ import annotations

import torch
from torch import Tensor


def balance(target: Tensor, known: Tensor, max_weight: float = 20.0) -> Tensor:
    """Weigh both classes of a binary target equally, each channel of each sample by itself.

    Args:
        target: (B, C, *spatial), 0 or 1.
        known: (B, C, *spatial), nonzero where the target counts.
        max_weight: the rarer class weighs at most this many times more; 1: no balancing.

    Returns:
        (B, C, *spatial) float32: n / (2 n_class) where known, 0 elsewhere; its mean over the known
        voxels is 1. A channel that shows one class alone weighs 1.
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
    each = torch.stack([torch.count_nonzero(c) for c in part.flatten(0, 1)])  # fast in one piece
    return each.double().reshape(*part.shape[:2], *[1] * (part.ndim - 2))
