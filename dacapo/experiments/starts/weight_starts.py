"""Where weights to begin with are read from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dacapo.experiments.starts.start import ReadRun, Source, Start
from dacapo.nn.bioimageio import read_package
from dacapo.nn.weights import Weights, read_state_dict, read_weights


class RunStart(Start):
    """Weights of another run."""

    def __init__(
        self, run: str, iteration: int | None, criterion: str | None, freeze: Sequence[str] = ()
    ) -> None:
        super().__init__(freeze)
        self._source = Source(run, iteration, criterion)

    def read(self, read_run: ReadRun) -> tuple[Weights, str]:
        return read_run(self._source), f"start.run={self._source.run}"


class BioimageioStart(Start):
    """Weights of a model of bioimage.io, for the network of the same package."""

    def __init__(self, path: Path, freeze: Sequence[str] = ()) -> None:
        super().__init__(freeze)
        self._path = path

    def read(self, read_run: ReadRun) -> tuple[Weights, str]:
        package = read_package(self._path, "start.path")
        source = f"start.path={self._path}"
        tensors = read_state_dict(package.read_weights("start.path"), source)
        if package.preprocessing:
            source += (
                f" (trained on raw after {', '.join(package.preprocessing)}; here it is -1..1)"
            )
        return Weights({f"architecture.network.{k}": v for k, v in tensors.items()}), source


class CheckpointStart(Start):
    """Weights of a file."""

    def __init__(self, path: Path, freeze: Sequence[str] = ()) -> None:
        super().__init__(freeze)
        self._path = path

    def read(self, read_run: ReadRun) -> tuple[Weights, str]:
        return read_weights(self._path, "start.path"), f"start.path={self._path}"
