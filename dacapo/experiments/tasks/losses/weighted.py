"""Losses for probabilities, distances and descriptors: weighted sums of terms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from dacapo.config import config, ranged
from dacapo.errors import InputError
from dacapo.experiments.tasks.losses.loss import WeightedLoss

if TYPE_CHECKING:
    from torch import Tensor


@config(None)
@dataclass(kw_only=True)
class ProbabilityLoss(WeightedLoss):
    """A weighted sum of terms on logits of independent channels (sigmoid)."""

    exclusive: ClassVar[bool] = False

    cross_entropy: float = ranged(1.0, low=0)
    """Weight of the cross-entropy."""
    dice: float = ranged(0.0, low=0)
    """Weight of the soft Dice loss."""
    tversky: float = ranged(0.0, low=0)
    """Weight of the Tversky loss."""
    focal: float = ranged(0.0, low=0)
    """Weight of the focal loss."""
    tversky_alpha: float = ranged(0.3, low=0)
    """Cost of a false positive in the Tversky loss."""
    tversky_beta: float = ranged(0.7, low=0)
    """Cost of a false negative in the Tversky loss."""
    focal_gamma: float = ranged(2.0, low=0)
    """Exponent of the focal loss; the larger, the less voxels count that are predicted well."""

    def check(self, key: str) -> None:
        super().check(key)
        if self.tversky_alpha + self.tversky_beta == 0:
            raise InputError(
                f"{key}: tversky_alpha and tversky_beta are both 0, so no error would cost anything"
            )

    def factors(self) -> dict[str, float]:
        return {n: getattr(self, n) for n in ("cross_entropy", "dice", "tversky", "focal")}

    def compute(self, prediction: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        counts = weight > 0
        if self.exclusive:
            counts = counts.any(dim=1, keepdim=True)
        logits = prediction.where(counts, prediction.new_zeros(()))
        return super().compute(logits, target, weight)

    def term(self, name: str, prediction: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        from dacapo.experiments.tasks.losses import terms

        if name == "cross_entropy":
            entropy = (
                terms.cross_entropy_of_classes
                if self.exclusive
                else terms.cross_entropy_of_channels
            )
            return entropy(prediction, target, weight)
        if name == "focal":
            focal = terms.focal_of_classes if self.exclusive else terms.focal_of_channels
            return focal(prediction, target, weight, self.focal_gamma)
        probability = prediction.softmax(dim=1) if self.exclusive else prediction.sigmoid()
        is_dice = name == "dice"
        alpha, beta = (0.5, 0.5) if is_dice else (self.tversky_alpha, self.tversky_beta)
        return terms.tversky(probability, target, weight, alpha, beta)


@config(None)
@dataclass(kw_only=True)
class ClassLoss(ProbabilityLoss):
    """A weighted sum of terms on logits of mutually exclusive channels (softmax)."""

    exclusive = True


@config(None)
@dataclass(kw_only=True)
class RegressionLoss(WeightedLoss):
    """A weighted sum of errors of distances or descriptors."""

    mse: float = ranged(1.0, low=0)
    """Weight of the squared error."""
    l1: float = ranged(0.0, low=0)
    """Weight of the absolute error."""

    def factors(self) -> dict[str, float]:
        return {"mse": self.mse, "l1": self.l1}

    def term(self, name: str, prediction: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        from dacapo.experiments.tasks.losses.terms import weighted_mean

        error = prediction - target
        return weighted_mean(error**2 if name == "mse" else error.abs(), weight)
