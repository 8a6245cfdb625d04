"""Begin with the weights of another run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dacapo.config import config
from dacapo.errors import InputError
from dacapo.experiments.starts.start_config import StartConfig

if TYPE_CHECKING:
    from dacapo.experiments.starts.start import RunStart


@config("start")
@dataclass(kw_only=True)
class RunStartConfig(StartConfig):
    """Begin with the weights of another run of the same architecture."""

    run: str
    """Which one: name/repetition below runs_dir."""
    iteration: int | None = None
    """Weights trained until then (default: the best by that run's task.criterion)."""

    def __post_init__(self) -> None:
        if self.run.count("/") != 1:
            raise InputError(f"start.run={self.run}: give name/repetition below runs_dir")

    def build(self) -> RunStart:
        from dacapo.experiments.starts.start import RunStart

        return RunStart(self.run, self.iteration)
