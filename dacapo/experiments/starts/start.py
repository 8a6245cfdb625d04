"""Weights to begin with."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

from torch import Tensor

from dacapo.errors import InputError
from dacapo.experiments.model import Model

ReadWeights = Callable[[str, "int | None"], Mapping[str, Tensor]]


class Start(ABC):
    """Puts weights into a fresh model."""

    @abstractmethod
    def initialize_weights(self, model: Model, read_weights: ReadWeights) -> None:
        """Change the model's weights in place.

        Args:
            read_weights: (run, iteration or None for its best) -> weights by name.
        """


class RunStart(Start):
    """The weights of another run of the same architecture; a head that differs stays fresh."""

    def __init__(self, run: str, iteration: int | None) -> None:
        self.run = run
        self.iteration = iteration

    def initialize_weights(self, model: Model, read_weights: ReadWeights) -> None:
        weights = read_weights(self.run, self.iteration)
        ours = model.state_dict()
        differ = [k for k, v in ours.items() if k not in weights or weights[k].shape != v.shape]
        body = [k for k in differ if not k.startswith("prediction_head.")]
        if body:
            raise InputError(
                f"start.run={self.run}: its architecture differs from this run's in {body[0]} and "
                f"{len(body) - 1} more weights"
            )
        model.load_state_dict({**ours, **{k: weights[k] for k in ours if k not in differ}})
