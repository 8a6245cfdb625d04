"""`python -m dacapo.new project=my_project raw=... labels=...`: a plan from the data.

It takes further arguments of `dacapo.train`, which stay as they are given.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from dacapo.cli import CommandLine, compose_train, one_line_errors, parse, split_arguments
from dacapo.config import Config, config, ranged
from dacapo.errors import InputError
from dacapo.experiments.datasplits.files import FilesDataSplitConfig
from dacapo.experiments.run_config import RunConfig
from dacapo.processes.files import check_writable

if TYPE_CHECKING:
    from dacapo.planning.plan import Plan

_UNITS = {"s": 1, "m": 60, "h": 3600}


@config(None)
@dataclass(kw_only=True)
class NewConfig(Config):
    """Look at annotated volumes and plan how to train on them.

    Writes a folder with an experiment, in which each choice has its reason as a comment, a script,
    an example of a loss, and a preset for a SLURM cluster. Further arguments are those of
    dacapo.train, such as task=distance or architecture.num_fmaps=24; the plan keeps them, and
    chooses the rest to fit.
    """

    project: str = ""
    """The folder to write; the last part of its path names the experiment."""
    raw: list[str]
    """One or more files of intensities, as in datasplit.raw."""
    labels: list[str]
    """As many files of ids, 0 for background."""
    mask: list[str] = field(default_factory=list)
    """As many files that are nonzero where annotated (default: everywhere)."""
    ignore_label: int | None = None
    """Voxels with this label are not annotated."""
    voxel_size: list[float] | None = None
    """Overrides the files' metadata, per axis (z, y, x)."""
    unit: str | None = None
    """Unit of voxel_size (nm, um, pixel...)."""
    budget: str = "30m"
    """How long one run may take: 90s, 30m or 8h."""
    device: str = "auto"
    """What will train: cpu, cuda, cuda:1...; auto: a GPU if there is one."""
    gpu_memory: float | None = ranged(None, above=0)
    """Plan for a GPU with so many GiB that is not in this machine."""
    explain: bool = False
    """Print the plan and its reasons, and write nothing."""

    @property
    def seconds(self) -> float:
        """The budget.

        Raises:
            InputError: it is not a time.
        """
        found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", self.budget)
        if found is None or float(found[1]) == 0:
            raise InputError(
                f"budget={self.budget}: give seconds, minutes or hours, like 90s, 30m, 8h"
            )
        return float(found[1]) * _UNITS[found[2]]


def main() -> None:
    """The command line."""
    with one_line_errors():
        options, overrides = split_arguments(NewConfig, sys.argv[1:] or ["--help"])
        if options is not None:
            new(options, parse(overrides))


def new(options: NewConfig, line: CommandLine) -> None:
    """Make a plan, print it, and write its folder."""
    folder = _folder(options)
    name = _name(folder, line)
    given, groups = _given(line)
    seconds = options.seconds
    from dacapo.planning.device import find_device
    from dacapo.planning.draft import Request, draft
    from dacapo.planning.files import Files
    from dacapo.planning.project import show_plan, write_project

    common = {k: getattr(options, k) for k in ("voxel_size", "unit", "ignore_label")}
    common = {k: v for k, v in common.items() if v is not None}
    for option in fields(FilesDataSplitConfig):  # how files are read
        if option.name not in ("raw", "gt", "mask") and f"datasplit.{option.name}" in given:
            common[option.name] = given[f"datasplit.{option.name}"]
    files = Files(options.raw, options.labels, options.mask, common)
    device = find_device(options.device, options.gpu_memory)
    request = Request(files, device, seconds, given, groups)
    plan = draft(request, lambda plan: _composed(name, plan, line))
    show_plan(plan)
    if not options.explain:
        write_project(folder, name, plan)
        print(f"\n{folder}: begin with its README.md, or at once with\n"
              f"  cd {folder} && {Path(sys.executable).name} train.py")  # fmt: skip


def _folder(options: NewConfig) -> Path:
    """The folder to write."""
    if not options.project and not options.explain:
        raise InputError("project: give the folder to write, or explain=true to write nothing")
    folder = Path(options.project or "plan")
    if options.explain:
        return folder
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"project={folder} exists already: give a new folder")
    check_writable(folder.parent, "project")
    return folder


def _name(folder: Path, line: CommandLine) -> str:
    """Of the experiment: the folder's, unless one of dacapo's own recipes has it."""
    name = re.sub(r"\W+", "_", folder.name, flags=re.ASCII).strip("_") or "plan"
    return f"{name}_plan" if name in line.options("experiment") else name


def _given(line: CommandLine) -> tuple[dict[str, Any], set[str]]:
    """Key -> value of the arguments for dacapo.train, and those keys that choose an option."""
    if line.flags:
        raise InputError(f"{line.flags[0]}: this command takes key=value alone")
    given: dict[str, Any] = {}
    for override, typed in zip(line.overrides, line.typed, strict=True):
        key, _, value = override.partition("=")
        if key[:1] in "+~" or key.startswith("hydra"):
            raise InputError(f"{typed}: cannot be part of a plan; add it when you train")
        given[key] = OmegaConf.to_container(OmegaConf.create(f"value: {value}"))["value"]  # type: ignore[index, call-overload]
    return given, {"task", "architecture", "datasplit", "trainer/augments"} | {
        key for key in given if line.options(key)
    }


def _composed(name: str, plan: Plan, line: CommandLine) -> RunConfig:
    """The run of a plan, composed from the files that would be written."""
    from dacapo.planning.project import write_project

    with tempfile.TemporaryDirectory() as folder:
        write_project(Path(folder), name, plan)
        arguments: Sequence[str] = ["--config-dir", f"{folder}/conf", f"experiment={name}"]
        try:
            return RunConfig.from_hydra(compose_train(arguments))
        except InputError as error:
            raise InputError(_as_typed(str(error), line)) from error


def _as_typed(message: str, line: CommandLine) -> str:
    """A message about a file of the plan that blames an argument, with the argument instead."""
    found = re.match(r"\w+/\w+\.yaml: ([\w.]+): ", message)
    typed = line.typed_for(found[1]) if found else None
    return message if found is None or typed is None else f"{typed}: {message[found.end() :]}"


if __name__ == "__main__":
    main()
