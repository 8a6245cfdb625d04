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

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from dacapo.cli import CommandLine, compose_train, one_line_errors, parse, split_arguments
from dacapo.cli.command_line import OPTION_NAME
from dacapo.config import Config, config, ranged
from dacapo.errors import InputError
from dacapo.experiments.datasplits.files import FilesDataSplitConfig
from dacapo.experiments.run_config import RunConfig
from dacapo.processes.files import check_writable

if TYPE_CHECKING:
    from dacapo.planning.plan import Plan

_OF_FILES = {"datasplit.raw": "raw", "datasplit.gt": "labels", "datasplit.mask": "mask"}
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
    keep_empty: bool = False
    """An end of a volume without any label is background, also where objects are dense elsewhere
    (default: then it is taken for not annotated, and left out)."""
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
        if f"datasplit.{option.name}" in given:
            common[option.name] = given[f"datasplit.{option.name}"]
    files = Files(options.raw, options.labels, options.mask, common)
    trains_on = str(given.get("trainer.device", options.device))
    if trains_on != "auto":
        given["trainer.device"] = trains_on
    device = find_device(trains_on, options.gpu_memory)
    request = Request(files, device, seconds, given, groups, options.keep_empty)
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
    """Of the experiment: the folder's, unless that is taken or cannot be an option's."""
    name = re.sub(r"\W+", "_", folder.name, flags=re.ASCII).strip("_") or "plan"
    is_taken = name in line.options("experiment") or not OPTION_NAME.fullmatch(name)
    return f"{name}_plan" if is_taken else name


def _given(line: CommandLine) -> tuple[dict[str, Any], set[str]]:
    """Key -> value of the arguments for dacapo.train, and those keys that choose an option."""
    if line.flags:
        raise InputError(f"{line.flags[0]}: this command takes key=value alone")
    given: dict[str, Any] = {}
    parsed = OverridesParser.create().parse_overrides(line.overrides)
    for override, typed in zip(parsed, line.typed, strict=True):
        key, value = override.key_or_group, override.value()
        if str(override.input_line)[:1] in "+~" or key.startswith("hydra") or key == "experiment":
            raise InputError(f"{typed}: cannot be part of a plan; add it when you train")
        if key in _OF_FILES:
            raise InputError(f"{typed}: give {_OF_FILES[key]}= instead")
        if "${" in str(value):
            raise InputError(f"{typed}: a plan holds plain values")
        if key == "datasplit.arrays" and isinstance(value, dict):
            value = {name: _opened(array) for name, array in value.items()}
        old = given.get(key)
        both = isinstance(value, dict) and isinstance(old, dict)
        given[key] = OmegaConf.to_container(OmegaConf.merge(old, value)) if both else value
    return given, {"task", "architecture", "datasplit", "trainer/augments"} | {
        key for key in given if line.options(key)
    }


def _opened(array: Any) -> Any:
    """An entry of datasplit.arrays whose file is found wherever a command is started."""
    from dacapo.planning.files import absolute

    if isinstance(array, dict) and isinstance(array.get("open"), str):
        return {**array, "open": absolute(array["open"])}
    return array


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
    found = re.match(r"(\w+)/\w+\.yaml: (?:([\w.]+): )?", message)
    if found is None:
        return message
    typed = line.typed_for(found[2] or found[1])
    return message if typed is None else f"{typed}: {message[found.end() :]}"


if __name__ == "__main__":
    main()
