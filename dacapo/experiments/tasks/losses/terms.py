"""Loss terms under a weight map; voxels of weight 0 are left out, not multiplied by 0.

Zero times infinity would be NaN, so predictions with weight 0 never enter a computation.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from dacapo.ops.skeletons import skeleton_tube, soft_skeleton

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
    return _mean_of_annotated(loss, counts)


def cldice(probability: Tensor, target: Tensor, weight: Tensor, iterations: int) -> Tensor:
    """1 - the harmonic mean of how much of each skeleton lies in the other mask. Shit et al. 2021.

    The mean over channels with weights; sums run over the whole batch. All voxels with a weight
    count alike: weights that balance classes would hide false positives. Structures are cut where
    the annotation ends.

    Args:
        iterations: see `soft_skeleton`.
    """
    counts = weight > 0
    p, t = (x.where(counts, x.new_zeros(())) for x in (probability, target))
    precision = _share(soft_skeleton(p, iterations), t)
    sensitivity = _share(soft_skeleton(t, iterations), p)
    loss = 1 - 2 * precision * sensitivity / (precision + sensitivity)
    return _mean_of_annotated(loss, counts)


def skeleton_recall(probability: Tensor, target: Tensor, weight: Tensor, radius: int) -> Tensor:
    """1 - the mean probability in a tube around the skeleton of the target. Kirchhoff et al. 2024.

    The mean over channels with weights; sums run over the whole batch. All voxels with a weight
    count alike. Structures are cut where the annotation ends.

    Args:
        radius: see `skeleton_tube`.
    """
    counts = weight > 0
    p = probability.where(counts, probability.new_zeros(()))
    tubes = _tubes((target > 0.5) & counts, radius)
    return _mean_of_annotated(1 - _share(tubes, p), counts)


def _mean_of_annotated(loss: Tensor, counts: Tensor) -> Tensor:
    """The mean over channels (C,) of which a voxel is annotated; 0 without any."""
    present = counts.any(dim=0).flatten(1).any(dim=1)
    return (loss * present).sum() / present.sum().clamp_min(1)


def _share(skeleton: Tensor, mask: Tensor) -> Tensor:
    """The share of a skeleton that lies in a mask, (C,); 1 for an empty skeleton."""
    axes = [axis for axis in range(mask.ndim) if axis != 1]
    total: Tensor = ((skeleton * mask).sum(axes) + 1) / (skeleton.sum(axes) + 1)
    return total


@torch.compiler.disable  # type: ignore[untyped-decorator]
def _tubes(masks: Tensor, radius: int) -> Tensor:
    """`skeleton_tube` of each sample and channel (B, C, *spatial), as 0 and 1."""
    flat = masks.detach().flatten(0, 1).cpu().numpy()
    tubes = np.stack([skeleton_tube(mask, radius) for mask in flat])
    return torch.from_numpy(tubes).to(masks.device, torch.float32).view(masks.shape)


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
