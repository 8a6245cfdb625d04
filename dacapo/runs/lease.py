"""One writer per run, on any disk.

A run belongs to the writer of its newest log, until that log ends with an outcome or its writer is
dead. To claim a run is to create the next log: file systems, including NFS, let only one of several
processes create a file, so no file locks are needed, which many mounts do not support. On the same
machine a dead process is recognised immediately. On another machine it is recognised by a log that
has not grown for `LEASE` seconds, measured by the observer's own clock and by reading the file, so
neither differing clocks nor cached file attributes matter. (`state` shows what has become of a run
without waiting, so it goes by the clock.) An owner looks whether it still is the owner whenever it
writes a record, and again before each rename and each deletion.
"""

from __future__ import annotations

import errno
import json
import os
import time
from io import FileIO
from pathlib import Path

from dacapo.errors import InputError
from dacapo.processes.files import (
    UnreadableError,
    parse,
    parse_json,
    read_regular,
    reading,
    sync_folder,
    temporary_name,
)
from dacapo.runs.log import (
    MAX_LOG_SIZE,
    Kind,
    LogWriter,
    Record,
    log_files,
    log_number,
    log_path,
    read_log,
)
from dacapo.runs.owner import Owner

BEAT = 10.0
"""Seconds between signs of life in a log."""
LEASE = 90.0
"""Seconds without a sign of life after which a writer on another machine counts as dead; longer
than mounts cache file attributes (at most 60 s by default)."""

_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


class BusyError(InputError):
    """Another process is working on the run."""


def claim(folder: Path) -> LogWriter:
    """Claim a run by creating the next log of its folder.

    Raises:
        BusyError: another process works on it, or was faster; the message names the process.
        InputError: the disk is full or not writable.
    """
    logs = log_files(folder)
    path = log_path(folder, log_number(logs[-1]) + 1 if logs else 1)
    record = Record(Kind.owner, 0, 0, json.dumps(Owner.current().encode()).encode())
    try:
        if logs:
            _refuse_if_alive(logs[-1])
        file = _create(path, record.frame())
        sync_folder(folder)
    except FileExistsError as error:
        raise BusyError(
            f"{folder} is being trained by {owner_of(path) or 'another process'}"
        ) from error
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from error
    return LogWriter(path, file)


def is_lost(log: LogWriter) -> bool:
    """Whether this process no longer owns the folder of its log.

    Another process has claimed it since, or the folder was moved or deleted; a new one of the same
    name is another's.
    """
    try:
        number = log_number(log.path)
        # A folder's list of names may be cached for longer than the absence of one of them.
        if log_path(log.path.parent, number + 1).exists():
            return True
        if any(log_number(later) > number for later in log_files(log.path.parent)):
            return True
    except (OSError, UnreadableError):  # a file server that does not answer is no evidence
        return False
    return not log.is_in_place()


def owner_of(path: Path) -> Owner | None:
    """The writer of a log; None if it died before it wrote its first record, or if that record is
    damaged."""
    for record in read_log(path):
        if isinstance(record, Record) and record.kind == Kind.owner:
            with reading(path):
                return parse(Owner, parse_json(record.payload))
        break
    return None


def has_ended(path: Path) -> bool:
    """Whether the writer of a log has noted how it ended."""
    return any(isinstance(r, Record) and r.kind == Kind.outcome for r in read_log(path))


def refuse_if_alive_here(folder: Path) -> None:
    """Refuse a folder that another process of this machine works on, without claiming it.

    Raises:
        BusyError: names the process.
    """
    for path in log_files(folder)[-1:]:
        owner = owner_of(path)
        if owner is not None and owner.is_alive() and not has_ended(path):
            raise BusyError(f"{folder} is being trained by {owner}")


def _refuse_if_alive(path: Path) -> None:
    """Return once the writer of a log is dead for certain, or raise `BusyError`.

    On this machine that is known at once; a writer elsewhere is watched for `LEASE` seconds.
    """
    owner = owner_of(path)
    alive = owner.is_alive() if owner is not None else None
    if alive is False or has_ended(path):
        return
    begin, known = time.monotonic(), _size(path)
    while not alive:
        if time.monotonic() - begin > LEASE:
            return
        time.sleep(min(1.0, LEASE / 10))
        alive = _size(path) != known
        if has_ended(path):
            return
    raise BusyError(f"{path.parent} is being trained by {owner or 'another process'}")


def _size(path: Path) -> int:
    """The number of readable bytes; on a shared disk, the attributes of a file may be outdated."""
    return len(read_regular(path, MAX_LOG_SIZE))


def _create(path: Path, content: bytes) -> FileIO:
    """Create a file together with its first content, unless it exists.

    Raises:
        FileExistsError: the file exists.
    """
    temporary = temporary_name(path)
    file = FileIO(temporary, "w")
    try:
        file.write(content)
        os.fsync(file.fileno())
        try:
            os.link(temporary, path)
        except FileExistsError:
            # NFS may lose the reply and repeat the request: the link count tells whether the first
            # one succeeded.
            if os.fstat(file.fileno()).st_nlink < 2:
                raise
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            file.close()
            file = FileIO(path, "x")
            file.write(content)
    except OSError:
        file.close()
        raise
    finally:
        temporary.unlink(missing_ok=True)
    return file
