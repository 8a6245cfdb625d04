"""`python -m dacapo.remove run=[NAME/0,NAME/1]`: remove runs, or archive them first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from dacapo.cli import run_command
from dacapo.config import Config, config
from dacapo.errors import InputError

if TYPE_CHECKING:
    from dacapo.runs import RunFolder


class What(Enum):
    """Parts of a run."""

    all = "all"
    checkpoints = "checkpoints"
    snapshots = "snapshots"
    void = "void"


@config(None)
@dataclass(kw_only=True)
class RemoveConfig(Config):
    """Remove runs or some of their files. Without confirm=true, only say what would be removed."""

    run: list[str]
    """The runs: name/repetition below runs_dir, a name for all of its repetitions, or a folder."""
    runs_dir: str = "runs"
    """Folder that holds the runs."""
    what: What = What.all
    """all; checkpoints: only the weights, while scores and curves stay; snapshots; void: damaged
    files that were set aside."""
    archive: str | None = None
    """First pack the files into this .tar or .tar.gz file, and compare them with it. `tar -xf FILE
    -C RUNS_DIR` brings them back."""
    confirm: bool = False
    """Do it."""


def main() -> None:
    """The command line."""
    run_command(RemoveConfig, remove)


def remove(options: RemoveConfig) -> None:
    """Say what is removed, then do it if it was confirmed; a run at work is refused."""
    from dacapo.processes.files import format_bytes
    from dacapo.runs.removal import archive, plan_removal
    from dacapo.runs.removal import remove as remove_files
    from dacapo.training.terminal import console, counted

    folders = [folder for name in options.run for folder in _folders(name, Path(options.runs_dir))]
    if not folders:
        raise InputError(f"run={options.run}: give the runs to remove, like run=[NAME/0]")
    part = "" if options.what is What.all else options.what.value
    removals = [plan_removal(folder, part) for folder in folders]
    for removal in removals:
        what = f", {part} only" if part else ""
        console.print(
            f"{removal.folder.path} ({removal.state}{what}): "
            f"{counted(len(removal.files), 'file')}, {format_bytes(removal.size)}"
        )
    total = format_bytes(sum(removal.size for removal in removals))
    if not options.confirm:
        console.print(f"nothing is removed yet: add confirm=true to remove these {total}")
        return
    if options.archive is not None:
        archive(removals, Path(options.archive))
        console.print(f"archived in {options.archive}")
    for removal in removals:
        remove_files(removal)
    console.print(f"removed {total}")


def _folders(name: str, runs_dir: Path) -> Iterator[RunFolder]:
    from dacapo.runs import RunFolder, find_run_folders

    path = Path(name)
    if not path.is_dir() or not path.name.isdecimal():
        path = runs_dir / name
    if path.name.isdecimal():
        yield RunFolder(path)
        return
    found = [f for f in find_run_folders(runs_dir) if f.path.parent.name == name]
    if not found:
        raise InputError(f"run={name}: there is no such run below {runs_dir}")
    yield from found


if __name__ == "__main__":
    main()
