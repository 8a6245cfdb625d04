"""What a start is: weights to begin with."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from dacapo.config import Config
from dacapo.errors import InputError

if TYPE_CHECKING:
    from dacapo.experiments.model import Model
    from dacapo.nn.weights import Weights

    ReadRun = Callable[["Source"], Weights]


@dataclass(kw_only=True)
class StartConfig(Config, ABC):
    """The weights to begin with."""

    freeze: list[str] = field(default_factory=list)
    """Weights that stay as they are, by patterns of their names: ["architecture.unet.down.*"]."""

    @abstractmethod
    def build(self) -> Start: ...


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


@dataclass(kw_only=True)
class Start(StartConfig):
    """Puts weights into a newly initialised model; a subclass says how they are read."""

    def build(self) -> Start:
        return self

    @abstractmethod
    def read(self, read_run: ReadRun) -> tuple[Weights, str]:
        """The weights, and what named them.

        Args:
            read_run: reads the weights of another run.
        """

    def initialize_weights(self, model: Model, channels: Sequence[str], read_run: ReadRun) -> str:
        """Change the model's weights in place: what fits by name and shape.

        Args:
            channels: of the model's head, which is filled row by row where a name is known there.
            read_run: reads the weights of another run.

        Returns:
            What was taken, and what stays newly initialised.
        """
        from dacapo.nn.weights import fit

        weights, source = self.read(read_run)
        return fit(model, weights, channels, source)

    def freeze_weights(self, model: Model) -> None:
        """Exclude weights from training.

        Raises:
            InputError: a pattern fits no name, or nothing is left to train.
        """
        names = [name for name, _ in model.named_parameters()]
        for pattern in self.freeze:
            if not any(fnmatchcase(name, pattern) for name in names):
                raise InputError(
                    f"start.freeze: {pattern!r} fits no weight; there are {', '.join(names)}"
                )
        for name, parameter in model.named_parameters():
            if any(fnmatchcase(name, pattern) for pattern in self.freeze):
                parameter.requires_grad_(False)
        if not any(parameter.requires_grad for parameter in model.parameters()):
            raise InputError(f"start.freeze={list(self.freeze)} leaves nothing to train")
