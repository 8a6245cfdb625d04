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
from dataclasses import dataclass
from pathlib import Path

from dacapo.errors import InputError
from dacapo.processes.files import sync_folder, temporary_name
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


def plan_removal(folder: RunFolder, part: str) -> Removal:
    """Find out what would be removed; this changes nothing.

    Raises:
        BusyError: a process works on the run, or a job is about to.
        UnreadableError: the folder cannot be read, so that is not known.
    """
    if not folder.path.is_dir():
        raise InputError(f"run: there is no folder {folder.path}")
    state = read_state(folder)
    if state.name in ("running", "waiting") or state.queued:
        raise BusyError(f"{folder.path} is {state.name}: {state.who}; end it first")
    files = list(_files(folder.path / part))
    size = sum(path.lstat().st_size for path in files)
    return Removal(folder, part, files, size, state.name)


def archive(removals: Sequence[Removal], path: Path) -> None:
    """Pack the files into a tar file, and read it back.

    Their names in it are name/repetition/...

    Raises:
        InputError: the archive exists, or cannot be written or read back.
    """
    if path.exists():
        raise InputError(f"archive={path} exists already")
    if not path.name.endswith((".tar", ".tar.gz")):
        raise InputError(f"archive={path}: the name must end in .tar or .tar.gz")
    temporary = temporary_name(path)
    try:
        with temporary.open("wb") as file:
            mode = "w:gz" if path.suffix == ".gz" else "w"
            with tarfile.open(fileobj=file, mode=mode) as packed:  # type: ignore[call-overload]
                for removal in removals:
                    for member in removal.files:
                        packed.add(member, _name(removal, member), recursive=False)
            file.flush()
            os.fsync(file.fileno())
        _check(removals, temporary, path)
        os.link(temporary, path)  # unlike a rename, it replaces nothing
        sync_folder(path.parent)
    except OSError as error:
        raise InputError(f"archive={path}: cannot be written: {error.strerror}") from error
    finally:
        temporary.unlink(missing_ok=True)


def remove(removal: Removal) -> None:
    """Remove the files.

    Raises:
        BusyError: a process has begun to work on the run.
        InputError: the disk is not writable.
    """
    folder, path = removal.folder, removal.folder.path / removal.part
    with claim(folder.path) as log:
        try:
            if path.exists():
                aside = folder.path.parent / f"{_ASIDE}{secrets.token_hex(4)}"
                path.rename(aside)
                shutil.rmtree(aside)
            log.path.unlink(missing_ok=True)  # the claim was a log, too
        except OSError as error:
            raise InputError(f"cannot remove {path}: {error.strerror}") from error
    for leftover in folder.path.parent.glob(f"{_ASIDE}*"):  # of a removal that was killed
        shutil.rmtree(leftover, ignore_errors=True)
    if not removal.part and not any(folder.path.parent.iterdir()):
        folder.path.parent.rmdir()


def _files(path: Path) -> Iterator[Path]:
    for parent, _, names in os.walk(path):
        for name in sorted(names):
            yield Path(parent) / name


def _name(removal: Removal, path: Path) -> str:
    return f"{removal.folder.label}/{path.relative_to(removal.folder.path)}"


def _check(removals: Sequence[Removal], temporary: Path, path: Path) -> None:
    """Compare every file with its copy."""
    with tarfile.open(temporary) as packed:
        for removal in removals:
            for file in removal.files:
                if file.is_symlink() or not file.is_file():
                    continue
                copy = packed.extractfile(_name(removal, file))
                with file.open("rb") as original:
                    if copy is None or _digest(copy) != _digest(original):
                        raise InputError(f"archive={path}: the copy of {file} differs from it")


def _digest(file: object) -> bytes:
    digest = hashlib.sha256()
    while chunk := file.read(_CHUNK):  # type: ignore[attr-defined]
        digest.update(chunk)
    return digest.digest()
