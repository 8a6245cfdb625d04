"""Weights that let a rare class count as much as a frequent one."""

from __future__ import annotations

import torch
from torch import Tensor


def balance(target: Tensor, known: Tensor, most: float = 20.0) -> Tensor:
    """Weigh both classes of a binary target equally, each channel of each sample by itself.

    Args:
        target: (B, C, *spatial), 0 or 1.
        known: (B, C, *spatial), nonzero where the target counts.
        most: a class is weighed up at most this many times; 1: no class is.

    Returns:
        (B, C, *spatial) float32: n / (2 n_class) where known, 0 elsewhere; its mean over the known
        voxels is 1. A channel that shows one class alone weighs 1.
    """
    spatial = tuple(range(2, target.ndim))
    known = known != 0
    positive = known & (target != 0)
    total = known.sum(spatial, keepdim=True).double()
    ones = positive.sum(spatial, keepdim=True).double()
    zeros = total - ones
    both = (ones > 0) & (zeros > 0)
    weight_one = torch.where(both, total / (2 * ones.clamp_min(1)), torch.ones_like(total))
    weight_zero = torch.where(both, total / (2 * zeros.clamp_min(1)), torch.ones_like(total))
    weight_one, weight_zero = (w.clamp(1 / most, most).float() for w in (weight_one, weight_zero))
    return torch.where(positive, weight_one, weight_zero) * known
