"""Removing and archiving a run, or some of its files.

A run is claimed first, so that no process begins to train it meanwhile, and then moved aside, so
that a removal that is killed leaves no half of a run under its name.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from dacapo.errors import InputError
from dacapo.processes.files import UnreadableError, sync_folder, temporary_name
from dacapo.runs.folder import RunFolder
from dacapo.runs.lease import BusyError, claim
from dacapo.runs.state import read_state

_ASIDE = ".removed-"
_CHUNK = 2**20


@dataclass(frozen=True)
class Removal:
    """What would be removed.

    Attributes:
        part: a folder in the run's folder; empty: the whole.
        files: all files and links, in a fixed order.
        size: of the files, in bytes.
        state: the state of the run.
    """

    folder: RunFolder
    part: str
    files: Sequence[Path]
    size: int
    state: str

    @property
    def path(self) -> Path:
        """The folder that is removed."""
        return self.folder.path / self.part


def plan_removal(folder: RunFolder, part: str) -> Removal:
    """Find out what would be removed; this changes nothing.

    Raises:
        BusyError: a process works on the run, or a job is about to.
        InputError: there is no run, or it lies behind a link.
    """
    if not folder.holds_run():
        raise InputError(f"run: {folder.path} is not the folder of a run")
    for path in (folder.path, folder.path / part):
        if path.is_symlink():
            raise InputError(f"{path} is a link: remove what it leads to by hand")
    try:
        state = read_state(folder)
        if state.name in ("running", "waiting") or state.queued:
            raise BusyError(f"{folder.path} is {state.name}: {state.who}; end it first")
        name = state.name
    except UnreadableError:
        name = "unreadable"
    files = list(_files(folder.path / part))
    size = sum(path.lstat().st_size for path in files)
    return Removal(folder, part, files, size, name)


@contextmanager
def claimed(removal: Removal) -> Iterator[Removal]:
    """Claim the run, so that no process begins to train it; yields what it holds by then.

    Raises:
        BusyError: a process has begun to work on it.
    """
    with claim(removal.folder.path) as log:
        try:
            files = [f for f in _files(removal.path) if f != log.path]
            yield Removal(removal.folder, removal.part, files, removal.size, removal.state)
        finally:
            log.path.unlink(missing_ok=True)  # the claim was a log, too


def archive(removals: Sequence[Removal], path: Path) -> None:
    """Pack the files of claimed runs into a tar file, and compare them with it.

    Their names in it are name/repetition/...

    Raises:
        InputError: the archive exists, cannot be written, or would not hold everything.
    """
    check_archive(removals, path)
    temporary = temporary_name(path)
    try:
        with temporary.open("wb") as file:
            with tarfile.open(fileobj=file, mode="w:gz" if path.suffix == ".gz" else "w") as packed:
                for removal in removals:
                    for member in removal.files:
                        packed.add(member, _name(removal, member), recursive=False)
            file.flush()
            os.fsync(file.fileno())
        _compare(removals, temporary, path)
        os.link(temporary, path)  # unlike a rename, it replaces nothing
        sync_folder(path.parent)
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"archive={path}: cannot be written: {reason}") from error
    finally:
        temporary.unlink(missing_ok=True)


def check_archive(removals: Sequence[Removal], path: Path) -> None:
    """Refuse an archive that cannot be written, or that would be removed with the runs.

    Raises:
        InputError: it exists, has another suffix, lies in a run, or a run holds links.
    """
    if path.exists():
        raise InputError(f"archive={path} exists already")
    if not path.name.endswith((".tar", ".tar.gz")):
        raise InputError(f"archive={path}: the name must end in .tar or .tar.gz")
    for removal in removals:
        if path.resolve().is_relative_to(removal.folder.path.resolve()):
            raise InputError(f"archive={path} lies in {removal.folder.path}, which is removed")
        for file in removal.files:
            if file.is_symlink() or not file.is_file():
                raise InputError(
                    f"{file} is a link or a special file, whose content an archive would not hold"
                )


def remove(removal: Removal) -> None:
    """Remove the files of a claimed run.

    Raises:
        InputError: the disk is not writable.
    """
    try:
        if removal.path.exists():
            aside = removal.folder.path.parent / f"{_ASIDE}{secrets.token_hex(4)}"
            removal.path.rename(aside)
            shutil.rmtree(aside)
    except OSError as error:
        raise InputError(f"cannot remove {removal.path}: {error.strerror or error}") from error


def tidy(parent: Path) -> None:
    """Remove what removals that were killed have left, and the folder of a name without runs."""
    for leftover in parent.glob(f"{_ASIDE}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    if not any(parent.iterdir()):
        parent.rmdir()


def _files(path: Path) -> Iterator[Path]:
    """All files below a folder, and links, which are not followed."""
    for parent, folders, names in os.walk(path):
        links = [name for name in folders if (Path(parent) / name).is_symlink()]
        for name in sorted([*names, *links]):
            yield Path(parent) / name


def _name(removal: Removal, path: Path) -> str:
    return f"{removal.folder.label}/{path.relative_to(removal.folder.path)}"


def _compare(removals: Sequence[Removal], temporary: Path, path: Path) -> None:
    """Compare every file with its copy."""
    with tarfile.open(temporary) as packed:
        for removal in removals:
            for file in removal.files:
                copy = packed.extractfile(_name(removal, file))
                with file.open("rb") as original:
                    if copy is None or _digest(copy) != _digest(original):
                        raise InputError(f"archive={path}: the copy of {file} differs from it")


def _digest(file: IO[bytes]) -> bytes:
    digest = hashlib.sha256()
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
    return digest.digest()
