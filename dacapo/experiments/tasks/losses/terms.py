"""Loss terms under a weight map; voxels of weight 0 are left out, not multiplied by 0.

Zero times infinity would be NaN, so predictions with weight 0 never enter a computation.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

_SMOOTH = 1e-5


def weighted_mean(loss: Tensor, weight: Tensor) -> Tensor:
    """The mean of a loss map under a weight map; 0 where all weights are 0."""
    counts = weight > 0
    total = (loss.where(counts, loss.new_zeros(())) * weight).sum()
    return total / weight.sum().clamp_min(1e-12)


def cross_entropy_of_channels(logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Binary cross-entropy of independent channels."""
    entropy = binary_cross_entropy_with_logits(logits, target, reduction="none")
    return weighted_mean(entropy, weight)


def focal_of_channels(logits: Tensor, target: Tensor, weight: Tensor, gamma: float) -> Tensor:
    """Binary cross-entropy times (1 - p of the true class) ** gamma. Lin et al. 2017."""
    entropy = binary_cross_entropy_with_logits(logits, target, reduction="none")
    return weighted_mean(_one_minus_exp(entropy) ** gamma * entropy, weight)


def cross_entropy_of_classes(logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Cross-entropy of mutually exclusive channels.

    In a voxel with some weight, channels of weight 0 are as possible as the target; the sum of all
    their probabilities is compared with 1. Shi et al. 2021 (marginal loss).
    """
    return weighted_mean(*_marginal_entropy(logits, target, weight))


def focal_of_classes(logits: Tensor, target: Tensor, weight: Tensor, gamma: float) -> Tensor:
    """`cross_entropy_of_classes` times (1 - p of the true class) ** gamma. Lin et al. 2017."""
    entropy, voxel = _marginal_entropy(logits, target, weight)
    return weighted_mean(_one_minus_exp(entropy) ** gamma * entropy, voxel)


def tversky(
    probability: Tensor, target: Tensor, weight: Tensor, alpha: float, beta: float
) -> Tensor:
    """1 - TP / (TP + alpha FP + beta FN), the mean over channels with weights. Salehi et al. 2017.

    With alpha = beta = 0.5 this is the soft Dice loss (Milletari et al. 2016). Sums run over the
    whole batch.
    """
    axes = [axis for axis in range(target.ndim) if axis != 1]
    counts = weight > 0
    p = probability.where(counts, probability.new_zeros(()))
    tp = (weight * p * target).sum(axes)
    fp = (weight * p * (1 - target)).sum(axes)
    fn = (weight * (1 - p) * target).sum(axes)
    loss = 1 - (tp + _SMOOTH) / (tp + alpha * fp + beta * fn + _SMOOTH)
    present = counts.any(dim=0).flatten(1).any(dim=1)
    return (loss * present).sum() / present.sum().clamp_min(1)


def _marginal_entropy(logits: Tensor, target: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """-log of the summed probability of the possible classes, and the weight: (B, *spatial)."""
    voxel = weight.amax(dim=1)
    logits = logits.where((voxel > 0)[:, None], logits.new_zeros(()))
    possible = (target != 0) | (weight == 0)
    likely = logits.masked_fill(~possible, float("-inf")).logsumexp(dim=1)
    return logits.logsumexp(dim=1) - likely, voxel


def _one_minus_exp(entropy: Tensor) -> Tensor:
    """1 - p, where the entropy is -log p; its gradient stays finite where p is 1."""
    return (-torch.expm1(-entropy)).clamp_min(1e-6)
