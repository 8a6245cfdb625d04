"""An append-only log: one file per writer, one frame per record.

A frame is torn if its writer dies while writing it; readers stop there. Nobody appends to the file
of another writer, so a torn frame is always the last of its file. The file is also the claim on its
folder (see `dacapo.runs.lease`), and its growth shows others that the writer is alive.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from io import FileIO
from pathlib import Path
from types import TracebackType

from dacapo.errors import InputError

_FRAME = struct.Struct("<4sIIIqI")  # magic, checksum, kind, schema, iteration, payload's length
_CHECKED = struct.Struct("<IIqI")
_MAGIC = b"DCPL"


class Kind(IntEnum):
    """Kinds of records."""

    header = 1
    """JSON: the names along the axes of the following scores."""
    begin = 2
    """A writer resumes from weights trained until `iteration`; later records are void."""
    step = 3
    """float64 numbers of consecutive training steps, beginning with `iteration`; possibly none, as
    a sign of life."""
    scores = 4
    """float64 numbers of one validation: (datasets, parameters, criteria)."""
    outcome = 5
    """JSON: how the writer ended."""
    owner = 6
    """JSON: the writer of this file; its first record."""
    document = 7
    """JSON: the config of the run, its options and overrides."""


@dataclass(frozen=True)
class Record:
    """One entry of a log.

    Attributes:
        schema: the checksum of the header it belongs to.
        offset: where the payload begins in the file.
    """

    kind: Kind
    schema: int
    iteration: int
    payload: bytes | memoryview
    offset: int = -1

    def frame(self) -> bytes:
        """The record as a frame of bytes."""
        numbers = (self.kind, self.schema, self.iteration, len(self.payload))
        head = _FRAME.pack(_MAGIC, _checksum(self.payload, *numbers), *numbers)
        return head + self.payload


class LogWriter:
    """Appends to a file of its own.

    Raises:
        InputError: the disk is full or not writable.
    """

    def __init__(self, path: Path, file: FileIO) -> None:
        self.path, self._file = path, file
        self._is_torn = False

    def append(self, record: Record, durable: bool) -> None:
        """Add a record; if `durable`, it survives a power loss."""
        if self._is_torn:
            raise InputError(f"cannot write {self.path}: an earlier record is cut short")
        data, begin = memoryview(record.frame()), self._file.tell()
        try:
            while data:
                data = data[self._file.write(data) :]
        except OSError as error:
            self._cut(begin)
            raise InputError(f"cannot write {self.path}: {error.strerror}") from error
        if durable:
            self.sync()

    def _cut(self, end: int) -> None:
        """Remove a partly written record, at which readers would stop."""
        try:
            self._file.truncate(end)
            self._file.seek(end)
        except OSError:
            self._is_torn = True

    def sync(self) -> None:
        """Make everything so far survive a power loss."""
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise InputError(f"cannot write {self.path}: {error.strerror}") from error

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
    return folder / f"log-{number:04d}.bin"


def log_number(path: Path) -> int:
    """The inverse of `log_path`."""
    return int(path.stem.removeprefix("log-"))


def log_files(folder: Path) -> list[Path]:
    """The log files of a folder, in the order of their writers."""
    return sorted(folder.glob("log-[0-9]*.bin"), key=log_number)


def read_log(path: Path) -> Iterator[Record]:
    """The records of a file up to the first torn one."""
    data = memoryview(path.read_bytes())
    at = 0
    while at + _FRAME.size <= len(data):
        magic, checksum, kind, schema, iteration, length = _FRAME.unpack_from(data, at)
        begin = at + _FRAME.size
        payload = data[begin : begin + length]
        at = begin + length
        if magic != _MAGIC or checksum != _checksum(payload, kind, schema, iteration, length):
            return
        yield Record(Kind(kind), schema, iteration, payload, begin)


def _checksum(payload: bytes | memoryview, *numbers: int) -> int:
    return zlib.crc32(payload, zlib.crc32(_CHECKED.pack(*numbers)))
