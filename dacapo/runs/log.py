"""An append-only log: one file a writer, one frame a record.

A frame is torn when its writer dies in the middle of it; a reader stops there. Nobody appends to
another's file, so a torn frame is always the last of its file. The file is also the claim on its
folder (see `claim`), and that it grows is how others see that its writer lives.
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
    """What a record holds."""

    header = 1
    """JSON: the names of what the following records hold."""
    begin = 2
    """A writer resumes from weights trained until `iteration`: what came after is void."""
    step = 3
    """float64 numbers of consecutive training steps, the first of them `iteration`; possibly
    none, as a sign of life."""
    scores = 4
    """float64 numbers of one validation: (datasets, parameters, criteria)."""
    outcome = 5
    """JSON: how the writer ended."""
    owner = 6
    """JSON: who writes this file; its first record."""
    document = 7
    """JSON: the config of the run and how it was asked for."""


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
        """As it lies in the file."""
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
        """Add a record; when `durable`, it counts even after a power loss."""
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
        """Take back a record that was written in part: readers stop there."""
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
    """The file of a folder's `number`-th writer."""
    return folder / f"log-{number:04d}.bin"


def log_number(path: Path) -> int:
    """The inverse of `log_path`."""
    return int(path.stem.removeprefix("log-"))


def log_files(folder: Path) -> list[Path]:
    """In the order of their writers."""
    return sorted(folder.glob("log-[0-9]*.bin"), key=log_number)


def read_log(path: Path) -> Iterator[Record]:
    """The records of a file up to the first that is torn."""
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
