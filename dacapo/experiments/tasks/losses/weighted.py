"""Losses for probabilities, distances and descriptors: weighted sums of terms."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, ClassVar

from dacapo.config import config, ranged
from dacapo.errors import InputError
from dacapo.experiments.tasks.losses.loss import WeightedLoss

if TYPE_CHECKING:
    from torch import Tensor

_THIN = ("cldice", "skeleton_recall")
"""Terms that only look at centre lines."""


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
        is_dice = name == "dice"
        alpha, beta = (0.5, 0.5) if is_dice else (self.tversky_alpha, self.tversky_beta)
        return terms.tversky(self.probability(prediction), target, weight, alpha, beta)

    def probability(self, logits: Tensor) -> Tensor:
        """(B, C, *spatial), the probability of each channel."""
        return logits.softmax(dim=1) if self.exclusive else logits.sigmoid()


@config(None)
@dataclass(kw_only=True)
class MaskLoss(ProbabilityLoss):
    """A weighted sum of terms on logits of masks.

    The terms for thin structures only look at centre lines, so they need one of the others.
    """

    cldice: float = ranged(0.0, low=0)
    """Weight of the soft centre-line Dice loss, which keeps thin structures in one piece."""
    cldice_iterations: int = ranged(5, low=1)
    """Erosions of the soft centre-line Dice loss: no fewer than the radius of the thickest
    structure, in voxels; what is thicker is not seen."""
    skeleton_recall: float = ranged(0.0, low=0)
    """Weight of the skeleton recall loss, which also keeps thin structures in one piece and needs
    less memory (pip install 'dacapo[skeletons]')."""
    skeleton_radius: int = ranged(2, low=0)
    """Radius of the tubes around skeletons, in voxels, for the skeleton recall loss."""

    def check(self, key: str) -> None:
        super().check(key)
        others = {name: v for name, v in self.factors().items() if name not in _THIN}
        if not any(others.values()):
            names = ", ".join(others)
            raise InputError(
                f"{key}: cldice and skeleton_recall only look at centre lines, so one of {names} "
                f"must be greater than 0"
            )
        if self.skeleton_recall and find_spec("skimage") is None:
            raise InputError(f"{key}.skeleton_recall: needs pip install 'dacapo[skeletons]'")

    def factors(self) -> dict[str, float]:
        return super().factors() | {name: getattr(self, name) for name in _THIN}

    def term(self, name: str, prediction: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        from dacapo.experiments.tasks.losses import terms

        if name not in _THIN:
            return super().term(name, prediction, target, weight)
        first = 1 if self.exclusive else 0  # without the background
        p = self.probability(prediction)[:, first:]
        target, weight = target[:, first:], weight[:, first:]
        if name == "cldice":
            return terms.cldice(p, target, weight, self.cldice_iterations)
        return terms.skeleton_recall(p, target, weight, self.skeleton_radius)


@config(None)
@dataclass(kw_only=True)
class ClassLoss(MaskLoss):
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
