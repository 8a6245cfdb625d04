"""Atomic writing: a file appears completely or not at all."""

from __future__ import annotations

import os
import secrets
import socket
from pathlib import Path

from dacapo.errors import InputError


def temporary_name(path: Path) -> Path:
    """A name next to `path` that no other process uses, on this machine or another."""
    # Containers may share a host name and all have the process id 1.
    unique = f"{socket.gethostname()}.{os.getpid()}.{secrets.token_hex(4)}"
    return path.with_name(f".{path.name}.{unique}.tmp")


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file: write a temporary file next to it, flush it to disk, then rename it.

    Raises:
        InputError: the disk is full or not writable; the old file is unchanged.
    """
    temporary = temporary_name(path)
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
