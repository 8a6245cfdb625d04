"""The loss of a task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor


class Loss(ABC):
    """Compares what a model in train mode gives with a target, voxel by voxel."""

    @abstractmethod
    def compute(self, prediction: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """A scalar; a voxel of weight 0 has exactly no influence.

        Args:
            prediction, target, weight: (B, C, *spatial).
        """


class CombinedLoss(Loss):
    """The weighted sum of the losses of groups of channels.

    Args:
        parts: (number of channels, weight, loss) in the order of the channels.
    """

    def __init__(self, parts: Sequence[tuple[int, float, Loss]]) -> None:
        self.parts = list(parts)

    def compute(self, prediction: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        sizes = [channels for channels, _, _ in self.parts]
        split = zip(*(t.split(sizes, dim=1) for t in (prediction, target, weight)), strict=True)
        terms = [
            factor * loss.compute(*tensors)
            for (_, factor, loss), tensors in zip(self.parts, split, strict=True)
        ]
        return sum(terms[1:], terms[0])
