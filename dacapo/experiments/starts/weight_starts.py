"""Initial weights from another run, a file, or a model of bioimage.io."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dacapo.config import config
from dacapo.errors import InputError
from dacapo.experiments.starts.start import Source, Start

if TYPE_CHECKING:
    from dacapo.experiments.starts.start import ReadRun
    from dacapo.nn.weights import Weights


@config("start")
@dataclass(kw_only=True)
class RunStart(Start):
    """Start with the weights of another run; weights that do not fit stay newly initialised."""

    run: str
    """The run: name/repetition below runs_dir."""
    iteration: int | None = None
    """Iteration of the weights (default: the best by criterion)."""
    criterion: str | None = None
    """Criterion by which to choose the best of the stored weights (default: that run's
    task.criterion)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not re.fullmatch(r"(?!\.)[^/]+/\d+", self.run):
            raise InputError(f"start.run={self.run}: give name/repetition below runs_dir")
        if self.iteration is not None and self.criterion is not None:
            raise InputError(
                f"start.iteration={self.iteration} and start.criterion={self.criterion}: give one"
            )

    def check(self, find_run: Callable[[Source], object]) -> None:
        find_run(Source(self.run, self.iteration, self.criterion))

    def read(self, read_run: ReadRun) -> tuple[Weights, str]:
        return read_run(Source(self.run, self.iteration, self.criterion)), f"start.run={self.run}"


@config("start")
@dataclass(kw_only=True)
class CheckpointStart(Start):
    """Start with the weights of a file; weights that do not fit stay newly initialised."""

    path: str
    """A checkpoint of a run, any .safetensors file, or a state dict saved by torch.save."""

    def check(self, find_run: Callable[[Source], object]) -> None:
        if Path(self.path).is_dir():
            raise InputError(
                f"start.path={self.path} is a folder: for a run, set start=run start.run=NAME/0"
            )
        if not Path(self.path).is_file():
            raise InputError(f"start.path={self.path}: there is no such file")

    def read(self, read_run: ReadRun) -> tuple[Weights, str]:
        from dacapo.nn.weights import read_weights

        return read_weights(Path(self.path), "start.path"), f"start.path={self.path}"


@config("start")
@dataclass(kw_only=True)
class BioimageioStart(Start):
    """Start with the weights of a model downloaded from bioimage.io, for
    architecture=bioimageio."""

    path: str
    """The package: a zip file, a folder, or its rdf.yaml."""

    def check(self, find_run: Callable[[Source], object]) -> None:
        if not Path(self.path).exists():
            raise InputError(f"start.path={self.path}: there is no such file or folder")

    def read(self, read_run: ReadRun) -> tuple[Weights, str]:
        from dacapo.nn.bioimageio import read_package
        from dacapo.nn.weights import Weights, read_state_dict

        package = read_package(Path(self.path), "start.path")
        source = f"start.path={self.path}"
        tensors = read_state_dict(package.read_weights("start.path"), source)
        if package.is_own:
            channels = package.own_config.get("channels")
            return Weights(tensors, channels if isinstance(channels, list) else ()), source
        if package.preprocessing:
            source += (
                f" (trained on raw after {', '.join(package.preprocessing)}; here it is -1..1)"
            )
        return Weights({f"architecture.network.{k}": v for k, v in tensors.items()}), source
