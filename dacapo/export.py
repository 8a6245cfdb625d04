"""`python -m dacapo.export run=NAME/0 output=model.zip`: a model as one file, for others too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dacapo.cli import run_command
from dacapo.config import Config, config, decode, ranged
from dacapo.errors import InputError

if TYPE_CHECKING:
    from torch import nn


@config(None)
@dataclass(kw_only=True)
class ExportConfig(Config):
    """Write the model of a run as a package of bioimage.io, which other programs read as well.

    predict, segment and training use it here again. The outputs of all its formats are compared
    with those of the run.
    """

    run: str
    """The run: its folder, or name/repetition below runs_dir; best: the one with the best score
    below runs_dir."""
    runs_dir: str = "runs"
    """Folder that holds the runs."""
    iteration: int | None = ranged(None, low=0)
    """Iteration of the weights (default: the best by criterion of those that were kept)."""
    criterion: str | None = None
    """The criterion that decides which is best (default: the run's own)."""
    output: str
    """The new package, like model.zip."""
    overwrite: bool = False
    """Replace an output that exists."""
    name: str = ""
    """Its title (default: that of the run)."""
    description: str = ""
    """What it is for, in a sentence."""
    authors: list[str] = field(default_factory=list)
    """Who made it."""
    license: str | None = None
    """Under which others may use it, by its SPDX name, such as CC-BY-4.0."""
    onnx: bool = True
    """Add the network in ONNX, for programs without PyTorch."""
    torch_export: bool = True
    """Add the network as torch.export writes it, for PyTorch without DaCapo."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if Path(self.output).suffix != ".zip":
            raise InputError(f"output={self.output}: the name must end in .zip, as in model.zip")


def main() -> None:
    """The command line."""
    run_command(ExportConfig, export_command)


def export_command(options: ExportConfig) -> None:
    """Write the package, and report what is in it."""
    from dacapo.inference.volumes import find_model
    from dacapo.processes.files import check_writable, format_bytes
    from dacapo.training.terminal import console, reported

    output = Path(options.output)
    check_writable(output.parent, "output")
    if output.is_dir():
        raise InputError(f"output={output} is a folder: choose another name")
    if output.exists() and not options.overwrite:
        raise InputError(f"output={output} exists already: set overwrite=true to replace it")
    saved = find_model(options.run, Path(options.runs_dir), options.iteration, options.criterion)
    with reported("exporting the model"):
        from dacapo.inference.package import write_package
        from dacapo.inference.trained import TrainedModel

        model = TrainedModel(saved, "cpu")
        report = write_package(model, options)
    console.print(f"{output}: {format_bytes(output.stat().st_size)}, {report}")


def network(task: Mapping[str, Any], architecture: Mapping[str, Any]) -> nn.Module:
    """The network of a package, with new weights: what its `pytorch_state_dict` names.

    In eval mode it maps raw between -1 and 1, (B, C, *spatial), to predicted values.

    Args:
        task, architecture: their configs as plain data.

    Raises:
        InputError: they are of classes that are not registered.
    """
    from dacapo.experiments.architectures import ArchitectureConfig
    from dacapo.experiments.tasks import TaskConfig

    task_config, architecture_config = decode(dict(task)), decode(dict(architecture))
    if not isinstance(task_config, TaskConfig):
        raise InputError("task: this is not the config of a task")
    if not isinstance(architecture_config, ArchitectureConfig):
        raise InputError("architecture: this is not the config of an architecture")
    return task_config.build().predictor.create_model(architecture_config.build())


if __name__ == "__main__":
    main()
