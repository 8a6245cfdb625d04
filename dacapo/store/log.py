"""An append-only log: one file a writer, one frame a record.

A frame is torn when its writer dies in the middle of it; a reader stops there. Nobody appends to
another's file, so a torn frame is always the last of its file.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from types import TracebackType

from dacapo.errors import InputError
from dacapo.store.atomic import sync_folder

_FRAME = struct.Struct("<4sIIIqI")  # magic, checksum, kind, schema, iteration, payload's length
_MAGIC = b"DCPL"


class Kind(IntEnum):
    """What a record holds."""

    header = 1
    """JSON: the names of what the following records hold."""
    begin = 2
    """A writer goes on from weights trained until `iteration`: what came after is void."""
    step = 3
    """float64 numbers of one training step."""
    scores = 4
    """float64 numbers of one validation: (datasets, parameters, criteria)."""
    outcome = 5
    """JSON: how the writer ended."""


@dataclass(frozen=True)
class Record:
    """One entry of a log; `schema` is the checksum of the header it belongs to."""

    kind: Kind
    schema: int
    iteration: int
    payload: bytes


class LogWriter:
    """Appends to a new file of a folder.

    Raises:
        InputError: the disk is full or not writable.
    """

    def __init__(self, folder: Path) -> None:
        number = max((int(p.stem.removeprefix("log-")) for p in log_files(folder)), default=0) + 1
        self.path = folder / f"log-{number:04d}.bin"
        try:
            self._file = self.path.open("xb", buffering=0)
        except OSError as error:
            raise InputError(f"cannot write {self.path}: {error.strerror}") from error
        sync_folder(folder)

    def append(self, record: Record, durable: bool) -> None:
        """Add a record; when `durable`, it counts even after a power loss."""
        checksum = _checksum(record.kind, record.schema, record.iteration, record.payload)
        frame = _FRAME.pack(
            _MAGIC, checksum, record.kind, record.schema, record.iteration, len(record.payload)
        )
        data = memoryview(frame + record.payload)
        try:
            while data:
                data = data[self._file.write(data) :]
        except OSError as error:
            raise InputError(f"cannot write {self.path}: {error.strerror}") from error
        if durable:
            self.sync()

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


def log_files(folder: Path) -> list[Path]:
    """In the order of their writers."""
    return sorted(folder.glob("log-[0-9]*.bin"))


def read_log(path: Path) -> Iterator[Record]:
    """The records of a file up to the first that is torn."""
    data = path.read_bytes()
    at = 0
    while at + _FRAME.size <= len(data):
        magic, checksum, kind, schema, iteration, length = _FRAME.unpack_from(data, at)
        payload = data[at + _FRAME.size : at + _FRAME.size + length]
        at += _FRAME.size + length
        if magic != _MAGIC or checksum != _checksum(kind, schema, iteration, payload):
            return
        yield Record(Kind(kind), schema, iteration, payload)


def _checksum(kind: int, schema: int, iteration: int, payload: bytes) -> int:
    return zlib.crc32(struct.pack("<IIqI", kind, schema, iteration, len(payload)) + payload)
