"""Losses of probabilities."""

from __future__ import annotations

from torch import Tensor

from dacapo.experiments.tasks.losses import terms
from dacapo.experiments.tasks.losses.loss import Loss


class ProbabilityLoss(Loss):
    """A weighted sum of cross-entropy, soft Dice, Tversky and focal loss on logits.

    Args:
        exclusive: channels add up to 1 (softmax); otherwise each is by itself (sigmoid).
        cross_entropy, dice, tversky, focal: weights of the terms; 0 leaves a term out.
        tversky_alpha, tversky_beta: cost of false positives and of false negatives.
        focal_gamma: how much less a voxel counts that is predicted well.
    """

    def __init__(
        self,
        exclusive: bool = False,
        cross_entropy: float = 1.0,
        dice: float = 0.0,
        tversky: float = 0.0,
        focal: float = 0.0,
        tversky_alpha: float = 0.3,
        tversky_beta: float = 0.7,
        focal_gamma: float = 2.0,
    ) -> None:
        self.exclusive = exclusive
        self.weights = {
            "cross_entropy": cross_entropy, "dice": dice, "tversky": tversky, "focal": focal
        }  # fmt: skip
        self._tversky = tversky_alpha, tversky_beta
        self._gamma = focal_gamma

    def compute(self, prediction: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        counts = weight > 0
        if self.exclusive:
            counts = counts.any(dim=1, keepdim=True)
        logits = prediction.where(counts, prediction.new_zeros(()))
        total = logits.new_zeros(())
        for name, factor in self.weights.items():
            if factor != 0:
                total = total + factor * self._term(name, logits, target, weight)
        return total

    def _term(self, name: str, logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        if name == "cross_entropy":
            if self.exclusive:
                return terms.cross_entropy_of_classes(logits, target, weight)
            return terms.cross_entropy_of_channels(logits, target, weight)
        if name == "focal":
            focal = terms.focal_of_classes if self.exclusive else terms.focal_of_channels
            return focal(logits, target, weight, self._gamma)
        probability = logits.softmax(dim=1) if self.exclusive else logits.sigmoid()
        alpha, beta = (0.5, 0.5) if name == "dice" else self._tversky
        return terms.tversky(probability, target, weight, alpha, beta)
