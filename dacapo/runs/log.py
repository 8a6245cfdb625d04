"""An append-only log: one file per writer, one frame per record.

A frame is torn if its writer dies while writing it. Nobody appends to the file of another writer,
so a torn frame is always the last of its file. Bytes in the middle that are not a frame are damage:
readers report it, and continue with the next frame. The file is also the claim on its folder (see
`dacapo.runs.lease`), and its growth shows others that the writer is alive.
"""

from __future__ import annotations

import os
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from io import FileIO
from pathlib import Path
from types import TracebackType

from dacapo.errors import InputError
from dacapo.processes.files import read_regular, reading

_FRAME = struct.Struct("<4sIIIqI")  # magic, checksum, kind, schema, iteration, payload's length
_CHECKED = struct.Struct("<IIqI")
_MAGIC = b"DCPL"
_NAME = re.compile(r"log-(\d{4,9})\.bin", re.ASCII)
MAX_LOG_SIZE = 2**32
"""Bytes of a log that is believed: a hundred million steps."""
_MAX_TRIED = 1000
"""Number of false beginnings of a frame after which the rest of a damaged log is given up."""


class Kind(IntEnum):
    """Kinds of records."""

    header = 1
    """JSON: the names along the axes of the following scores."""
    begin = 2
    """A writer resumes from weights trained until `iteration`; later records are void."""
    waited_step = 3
    """As `step`, but of earlier versions, where the last number had another meaning."""
    scores = 4
    """float64 numbers of one validation: (datasets, parameters, criteria)."""
    outcome = 5
    """JSON: how the writer ended."""
    owner = 6
    """JSON: the writer of this file; its first record."""
    document = 7
    """JSON: the config of the run, its options and overrides."""
    step = 8
    """float64 numbers of consecutive training steps, beginning with `iteration`; possibly none, as
    a sign of life."""


@dataclass(frozen=True)
class Record:
    """One entry of a log.

    Attributes:
        kind: one of `Kind`.
        schema: the checksum of the header it belongs to.
        offset: where the payload begins in the file.
    """

    kind: int
    schema: int
    iteration: int
    payload: bytes | memoryview
    offset: int = -1

    def frame(self) -> bytes:
        """The record as a frame of bytes."""
        numbers = (self.kind, self.schema, self.iteration, len(self.payload))
        head = _FRAME.pack(_MAGIC, _checksum(self.payload, *numbers), *numbers)
        return head + self.payload


@dataclass(frozen=True)
class Damage:
    """Bytes of a log that are not a record."""

    path: Path
    begin: int
    end: int

    def __str__(self) -> str:
        return f"{self.path.name}: bytes {self.begin} to {self.end} are damaged"


_KINDS = frozenset(Kind)


class LogWriter:
    """Appends to a file of its own.

    Raises:
        InputError: the disk is full or not writable.
    """

    def __init__(self, path: Path, file: FileIO) -> None:
        self.path, self._file = path, file
        self._is_torn = False

    def append(self, record: Record, durable: bool) -> None:
        """Add a record, which survives a power loss if `durable`, or raise and leave none."""
        if self._is_torn:
            raise InputError(f"cannot write {self.path}: an earlier record is cut short")
        data, begin = memoryview(record.frame()), self._file.tell()
        try:
            while data:
                data = data[self._file.write(data) :]
            if durable:  # network disks report a full quota only here
                os.fsync(self._file.fileno())
        except OSError as error:
            self._cut(begin)
            raise InputError(f"cannot write {self.path}: {error.strerror}") from error

    def _cut(self, end: int) -> None:
        """Remove a record that is not completely on the disk."""
        try:
            self._file.truncate(end)
            self._file.seek(end)
        except OSError:
            self._is_torn = True

    def is_in_place(self) -> bool:
        """Whether the path still leads to this file: the folder may have been moved or deleted."""
        try:
            return os.path.samestat(os.fstat(self._file.fileno()), self.path.stat())
        except FileNotFoundError:
            return False
        except OSError:  # a file server that does not answer is no evidence
            return True

    def __enter__(self) -> LogWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()


def log_path(folder: Path, number: int) -> Path:
    """The log file of a folder's `number`-th writer."""
    return folder / _log_name(number)


def log_number(path: Path | str) -> int:
    """The inverse of `log_path`, also for a name alone; 0 for any other file."""
    name = path if isinstance(path, str) else path.name
    found = _NAME.fullmatch(name)
    number = int(found[1]) if found else 0
    return number if name == _log_name(number) else 0


def _log_name(number: int) -> str:
    return f"log-{number:04d}.bin"


def log_files(folder: Path) -> list[Path]:
    """The log files of a folder, in the order of their writers.

    Raises:
        UnreadableError: the folder cannot be listed.
    """
    try:
        with reading(folder):
            names = filter(log_number, os.listdir(folder))
    except FileNotFoundError:
        return []
    return [folder / name for name in sorted(names, key=log_number)]


def read_log(path: Path) -> Iterator[Record | Damage]:
    """The records of a file, and what is damaged between them or at its end.

    A torn last record, and a kind of record that only a newer version knows, are passed over.

    Raises:
        FileNotFoundError: there is no such file.
        UnreadableError: it is not a readable regular file.
    """
    with reading(path):
        data = memoryview(read_regular(path, MAX_LOG_SIZE))
    at = 0
    while at < len(data):
        record = _record_at(data, at)
        if record is None:
            next_at = _next_record(data, at + 1)
            if next_at is None and _is_torn(data, at):
                return
            end = len(data) if next_at is None else next_at
            yield Damage(path, at, end)
            at = end
            continue
        at = record.offset + len(record.payload)
        if record.kind in _KINDS:
            yield record


def _record_at(data: memoryview, at: int) -> Record | None:
    if at + _FRAME.size > len(data):
        return None
    magic, checksum, kind, schema, iteration, length = _FRAME.unpack_from(data, at)
    begin = at + _FRAME.size
    payload = data[begin : begin + length]
    if (
        magic != _MAGIC
        or len(payload) != length
        or checksum != _checksum(payload, kind, schema, iteration, length)
    ):
        return None
    return Record(kind, schema, iteration, payload, begin)


def _next_record(data: memoryview, begin: int) -> int | None:
    """Where the next intact record begins."""
    content = data.obj
    assert isinstance(content, bytes)
    at = content.find(_MAGIC, begin)
    for _ in range(_MAX_TRIED):
        if at < 0 or _record_at(data, at) is not None:
            return None if at < 0 else at
        at = content.find(_MAGIC, at + 1)
    return None


def _is_torn(data: memoryview, at: int) -> bool:
    """Whether the file ends within the record that begins here."""
    if at + _FRAME.size > len(data):
        return _MAGIC.startswith(bytes(data[at : at + len(_MAGIC)]))
    magic, *_, length = _FRAME.unpack_from(data, at)
    return bool(magic == _MAGIC and at + _FRAME.size + length > len(data))


def _checksum(payload: bytes | memoryview, *numbers: int) -> int:
    return zlib.crc32(payload, zlib.crc32(_CHECKED.pack(*numbers)))
