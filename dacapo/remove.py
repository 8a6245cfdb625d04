"""`python -m dacapo.remove run=[NAME/0,NAME/1]`: remove runs, or archive them first."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from dacapo.cli import run_command
from dacapo.config import Config, config
from dacapo.errors import InputError, printable

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
    """Remove runs or some of their files; without confirm=true, only report which."""

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
    """Remove them; without it, only report."""


def main() -> None:
    """The command line."""
    run_command(RemoveConfig, remove)


def remove(options: RemoveConfig) -> None:
    """Report what is removed, then remove it if that was confirmed; a run at work is refused."""
    from dacapo.processes.files import format_bytes
    from dacapo.runs.removal import archive, check_archive, claimed, plan_removal, tidy
    from dacapo.runs.removal import remove as remove_files
    from dacapo.training.terminal import console, counted

    part = "" if options.what is What.all else options.what.value
    removals = [plan_removal(folder, part) for folder in _folders(options)]
    for removal in removals:
        what = f", {part} only" if part else ""
        files = f"{counted(len(removal.files), 'file')}, {format_bytes(removal.size)}"
        console.print(printable(f"{removal.folder.path} ({removal.state}{what}): {files}"))
    total = format_bytes(sum(removal.size for removal in removals))
    if options.archive is not None:
        check_archive(removals, Path(options.archive))
    if not options.confirm:
        console.print(f"nothing has been removed: add confirm=true to remove {total}")
        return
    with ExitStack() as stack:
        held = [stack.enter_context(claimed(removal)) for removal in removals]
        if options.archive is not None:
            archive(held, Path(options.archive))
            console.print(f"archived in {options.archive}")
        for removal in held:
            remove_files(removal)
    for parent in {removal.folder.path.parent for removal in removals}:
        tidy(parent)
    console.print(f"removed {total}")


def _folders(options: RemoveConfig) -> list[RunFolder]:
    """The folders of the runs, each once."""
    from dacapo.runs import RunFolder, find_run_folders, missing_run

    runs_dir, found = Path(options.runs_dir), []
    for name in options.run:
        below = [f for f in find_run_folders(runs_dir) if name in (f.path.parent.name, f.label)]
        folder = RunFolder(Path(name).absolute())
        if not below and not folder.holds_run():
            raise InputError(missing_run(name, runs_dir))
        found += below or [folder]
    if not found:
        raise InputError(f"run={options.run}: give the runs to remove, like run=NAME/0")
    return list({folder.path.resolve(): folder for folder in found}.values())


if __name__ == "__main__":
    main()
