"""Begin with the weights of another run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dacapo.config import config
from dacapo.errors import InputError
from dacapo.experiments.starts.start_config import StartConfig

if TYPE_CHECKING:
    from dacapo.experiments.starts.weight_starts import RunStart


@config("start")
@dataclass(kw_only=True)
class RunStartConfig(StartConfig):
    """Begin with the weights of another run; those that do not fit are listed and stay fresh."""

    run: str
    """Which one: name/repetition below runs_dir."""
    iteration: int | None = None
    """Weights trained until then (default: the best by criterion)."""
    criterion: str | None = None
    """Which score chooses the best weights, among those kept (default: that run's
    task.criterion)."""

    def __post_init__(self) -> None:
        if self.run.count("/") != 1:
            raise InputError(f"start.run={self.run}: give name/repetition below runs_dir")
        if self.iteration is not None and self.criterion is not None:
            raise InputError(
                f"start.iteration={self.iteration} and start.criterion={self.criterion}: give one"
            )

    def build(self) -> RunStart:
        from dacapo.experiments.starts.weight_starts import RunStart

        return RunStart(self.run, self.iteration, self.criterion, self.freeze)
