"""Write a file so that it is there as a whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from dacapo.errors import InputError


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file: written beside it, flushed to the disk, then renamed.

    Raises:
        InputError: the disk is full or not writable; the old file is as it was.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power loss."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
