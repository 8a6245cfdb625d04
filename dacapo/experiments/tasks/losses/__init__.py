"""Losses."""

from dacapo.experiments.tasks.losses.loss import ActivatedLoss, CombinedLoss, Loss, WeightedLoss
from dacapo.experiments.tasks.losses.weighted import (
    ClassLoss,
    MaskLoss,
    ProbabilityLoss,
    RegressionLoss,
)

__all__ = [
    "ActivatedLoss",
    "ClassLoss",
    "CombinedLoss",
    "Loss",
    "MaskLoss",
    "ProbabilityLoss",
    "RegressionLoss",
    "WeightedLoss",
]
