from __future__ import annotations

import errno
from dataclasses import replace
from io import FileIO
from pathlib import Path
from typing import Any

import pytest

from dacapo.errors import InputError
from dacapo.runs.log import Kind, LogWriter, Record, log_files, log_path, read_log

RECORDS = [
    Record(Kind.header, 7, 0, b"{}"),
    Record(Kind.step, 7, 0, b"x" * 24),
    Record(Kind.scores, 7, 10, b""),
    Record(Kind.outcome, 7, 0, b'{"status": "done"}'),
]


def opened(folder: Path) -> LogWriter:
    path = log_path(folder, len(log_files(folder)) + 1)
    return LogWriter(path, FileIO(path, "x"))


def records(path: Path) -> list[Record]:
    return [replace(r, payload=bytes(r.payload), offset=-1) for r in read_log(path)]


def written(folder: Path) -> Path:
    with opened(folder) as log:
        for record in RECORDS:
            log.append(record, durable=record.kind is Kind.scores)
    return log.path


def test_round_trip(tmp_path: Path) -> None:
    assert records(written(tmp_path)) == RECORDS


def test_every_torn_tail_is_left_out(tmp_path: Path) -> None:
    path = written(tmp_path)
    content = path.read_bytes()
    seen = set()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        whole = records(path)
        assert whole == RECORDS[: len(whole)]
        seen.add(len(whole))
    assert seen == {0, 1, 2, 3}


@pytest.mark.parametrize("at", [0, 5, 9, 13, 17, 29])
def test_a_changed_byte_ends_the_log(tmp_path: Path, at: int) -> None:
    path = written(tmp_path)
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)
    assert list(read_log(path)) == []


def test_a_payload_is_found_again_at_its_offset(tmp_path: Path) -> None:
    path = written(tmp_path)
    content = path.read_bytes()
    for record in read_log(path):
        assert content[record.offset : record.offset + len(record.payload)] == record.payload


def test_each_writer_has_its_own_file(tmp_path: Path) -> None:
    first, second = written(tmp_path), written(tmp_path)
    assert log_files(tmp_path) == [first, second]
    assert records(first) == records(second) == RECORDS


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_disk_that_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Path("/dev/full").open("wb", buffering=0) as full, opened(tmp_path) as log:
        monkeypatch.setattr(log, "_file", full)
        with pytest.raises(InputError, match=r"cannot write .*log-0001.bin: No space left"):
            log.append(RECORDS[0], durable=False)


def test_a_disk_that_cannot_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with opened(tmp_path) as log:
        log.append(RECORDS[0], durable=True)
        monkeypatch.setattr("os.fsync", full)
        with pytest.raises(InputError, match=r"cannot write .*log-0001.bin: No space left"):
            log.append(RECORDS[1], durable=True)
    assert records(log.path)[:1] == RECORDS[:1]
