"""Initial weights of a run."""

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
    """The initial weights."""

    freeze: list[str] = field(default_factory=list)
    """Weights that are not trained, as patterns of names: ["architecture.unet.down.*"]."""

    @abstractmethod
    def check(self, find_run: Callable[[Source], object]) -> None:
        """Refuse weights that do not exist, before anything is built.

        Args:
            find_run: raises an error if a run has no such weights.
        """

    @abstractmethod
    def build(self) -> Start: ...


@dataclass(frozen=True)
class Source:
    """Weights of a run below the same `runs_dir`.

    Attributes:
        run: name/repetition.
        iteration: number of training steps; None: the best.
        criterion: the criterion that decides which is best; None: the run's own.
    """

    run: str
    iteration: int | None = None
    criterion: str | None = None


@dataclass(kw_only=True)
class Start(StartConfig):
    """Loads weights into a newly initialised model; a subclass defines how they are read."""

    def build(self) -> Start:
        return self

    @abstractmethod
    def read(self, read_run: ReadRun) -> tuple[Weights, str]:
        """The weights, and a description of their source.

        Args:
            read_run: reads the weights of another run.
        """

    def initialize_weights(self, model: Model, channels: Sequence[str], read_run: ReadRun) -> str:
        """Load weights that fit by name and shape into the model, in place.

        Args:
            channels: names of the channels of the model's head, which are matched one by one.
            read_run: reads the weights of another run.

        Returns:
            A report of which weights were loaded and which stay newly initialised.
        """
        from dacapo.nn.weights import fit

        weights, source = self.read(read_run)
        return fit(model, weights, channels, source)

    def freeze_weights(self, model: Model) -> None:
        """Exclude weights from training.

        Raises:
            InputError: a pattern matches no weight, or no weight is left to train.
        """
        names = [name for name, _ in model.named_parameters()]
        for pattern in self.freeze:
            if not any(fnmatchcase(name, pattern) for name in names):
                raise InputError(
                    f"start.freeze: {pattern!r} matches no weight; the names are {', '.join(names)}"
                )
        for name, parameter in model.named_parameters():
            if any(fnmatchcase(name, pattern) for pattern in self.freeze):
                parameter.requires_grad_(False)
        if not any(parameter.requires_grad for parameter in model.parameters()):
            raise InputError(f"start.freeze={list(self.freeze)} leaves no weight to train")
