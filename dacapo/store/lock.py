"""One process a run."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dacapo.errors import InputError


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder; the system lets go of it when the process ends, however it ends.

    Raises:
        InputError: another process holds it; the message names it.
    """
    path = folder / "lock"
    try:
        opened = path.open("a+")
    except OSError as error:
        raise InputError(f"runs_dir: cannot write {path}: {error.strerror}") from error
    with opened as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(f"{folder} is being trained by {_owner(path)}") from error
        file.truncate(0)
        me = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "job": os.environ.get("SLURM_JOB_ID"),
            "since": time.strftime("%Y-%m-%d %H:%M:%S"),
        }
        file.write(json.dumps(me))
        file.flush()
        yield


def is_locked(folder: Path) -> bool:
    """Whether a process holds a folder."""
    path = folder / "lock"
    if not path.exists():
        return False
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _owner(path: Path) -> str:
    try:
        owner = json.loads(path.read_text())
    except json.JSONDecodeError:
        return "another process"
    job = f" (job {owner['job']})" if owner["job"] else ""
    return f"process {owner['pid']} on {owner['host']}{job}, since {owner['since']}"
