"""Weights to begin with."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from dacapo.errors import InputError
from dacapo.experiments.model import Model
from dacapo.nn.weights import Weights, fit


@dataclass(frozen=True)
class Source:
    """Weights of a run below the same `runs_dir`.

    Attributes:
        run: name/repetition.
        iteration: that they were trained until; None: the best.
        criterion: by which they are the best; None: the run's own.
    """

    run: str
    iteration: int | None = None
    criterion: str | None = None


ReadRun = Callable[[Source], Weights]


class Start(ABC):
    """Puts weights into a fresh model, and says which of its weights are not trained.

    Args:
        freeze: patterns of names of weights.
    """

    def __init__(self, freeze: Sequence[str] = ()) -> None:
        self._freeze = freeze

    @abstractmethod
    def read(self, read_run: ReadRun) -> tuple[Weights, str]:
        """The weights, and what named them."""

    def initialize_weights(self, model: Model, channels: Sequence[str], read_run: ReadRun) -> str:
        """Change the model's weights in place: what fits by name and shape.

        Args:
            channels: of the model's head, which is filled row by row where a name is known there.
            read_run: how weights of other runs are read.

        Returns:
            What was taken, and what stays fresh.
        """
        weights, source = self.read(read_run)
        return fit(model, weights, channels, source)

    def freeze(self, model: Model) -> None:
        """Exclude weights from training.

        Raises:
            InputError: a pattern fits no name, or nothing is left to train.
        """
        names = [name for name, _ in model.named_parameters()]
        for pattern in self._freeze:
            if not any(fnmatchcase(name, pattern) for name in names):
                raise InputError(
                    f"start.freeze: {pattern!r} fits no weight; there are {', '.join(names)}"
                )
        for name, parameter in model.named_parameters():
            if any(fnmatchcase(name, pattern) for pattern in self._freeze):
                parameter.requires_grad_(False)
        if not any(parameter.requires_grad for parameter in model.parameters()):
            raise InputError(f"start.freeze={list(self._freeze)} leaves nothing to train")
