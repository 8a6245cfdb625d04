"""The loss of a task."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor


class Loss(ABC):
    """Compares what a model in train mode gives with a target, voxel by voxel."""

    @abstractmethod
    def compute(self, prediction: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """A scalar; a voxel of weight 0 has exactly no influence.

        Args:
            prediction, target, weight: (B, C, *spatial).
        """


def weighted_mean(loss: Tensor, weight: Tensor) -> Tensor:
    """The mean of a loss map under a weight map; 0 where all weights are 0.

    Where the weight is 0 the loss is left out, not multiplied: 0 * inf would be NaN.
    """
    counts = weight > 0
    total = (loss.where(counts, loss.new_zeros(())) * weight).sum()
    return total / weight.sum().clamp_min(1e-12)
