"""Losses of distances and descriptors."""

from __future__ import annotations

from torch import Tensor, nn

from dacapo.experiments.tasks.losses.loss import Loss
from dacapo.experiments.tasks.losses.terms import weighted_mean


class RegressionLoss(Loss):
    """A weighted sum of squared and absolute error.

    Args:
        activation: from what the model gives in train mode to what the target is compared with.
        mse, l1: weights of the terms; 0 leaves a term out.
    """

    def __init__(self, activation: nn.Module, mse: float = 1.0, l1: float = 0.0) -> None:
        self.activation = activation
        self.mse = mse
        self.l1 = l1

    def compute(self, prediction: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        given = prediction.where(weight > 0, prediction.new_zeros(()))
        error: Tensor = self.activation(given) - target
        total = error.new_zeros(())
        if self.mse != 0:
            total = total + self.mse * weighted_mean(error**2, weight)
        if self.l1 != 0:
            total = total + self.l1 * weighted_mean(error.abs(), weight)
        return total
