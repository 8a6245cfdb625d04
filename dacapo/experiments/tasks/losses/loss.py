"""Base classes of losses."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dacapo.config import Config
from dacapo.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor


class Loss(ABC):
    """Compares the output of a model in train mode with a target, voxel by voxel."""

    @abstractmethod
    def compute(self, prediction: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """A scalar; voxels of weight 0 have no influence whatsoever.

        Args:
            prediction, target, weight: (B, C, *spatial).
        """


@dataclass(kw_only=True)
class WeightedLoss(Config, Loss):
    """A weighted sum of terms; the weights are options, and a weight of 0 leaves a term out."""

    def check(self, key: str) -> None:
        """Refuse weights that leave nothing to train on.

        Args:
            key: under which the task holds the loss, for messages.
        """
        if not any(self.factors().values()):
            names = ", ".join(self.factors())
            raise InputError(f"{key}: {names} are all 0, so there is no loss to train on")

    @abstractmethod
    def factors(self) -> dict[str, float]:
        """Term -> weight."""

    @abstractmethod
    def term(self, name: str, prediction: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """One of the terms, a scalar."""

    def compute(self, prediction: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        total = prediction.new_zeros(())
        for name, factor in self.factors().items():
            if factor != 0:
                total = total + factor * self.term(name, prediction, target, weight)
        return total


class ActivatedLoss(Loss):
    """A loss on the model's output after an activation, for targets that are not classes.

    Args:
        activation: maps the model's output in train mode to values comparable with the target.
    """

    def __init__(self, loss: Loss, activation: Callable[[Tensor], Tensor]) -> None:
        self.loss, self.activation = loss, activation

    def compute(self, prediction: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        # Before the activation: the gradient of tanh at infinity times 0 would be NaN.
        counted = prediction.where(weight > 0, prediction.new_zeros(()))
        return self.loss.compute(self.activation(counted), target, weight)


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
