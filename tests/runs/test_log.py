from __future__ import annotations

import errno
import os
from dataclasses import replace
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dacapo.errors import InputError
from dacapo.processes.files import UnreadableError
from dacapo.runs.log import Damage, Kind, LogWriter, Record, log_files, log_path, read_log

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
    found = [r for r in read_log(path) if isinstance(r, Record)]
    return [replace(r, payload=bytes(r.payload), offset=-1) for r in found]


def damage(path: Path) -> list[tuple[int, int]]:
    return [(r.begin, r.end) for r in read_log(path) if isinstance(r, Damage)]


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
        assert damage(path) == []  # its writer has died while it wrote
        seen.add(len(whole))
    assert seen == {0, 1, 2, 3}


def test_a_changed_byte_costs_only_its_record(tmp_path: Path) -> None:
    path = written(tmp_path)
    content = path.read_bytes()
    ends = np.cumsum([len(record.frame()) for record in RECORDS])
    for at in range(len(content)):
        changed = bytearray(content)
        changed[at] ^= 1
        path.write_bytes(changed)
        number = int(np.searchsorted(ends, at, "right"))
        assert records(path) == RECORDS[:number] + RECORDS[number + 1 :]
        begin, end = ends[number] - len(RECORDS[number].frame()), ends[number]
        # A length that reaches beyond the end looks like a record that is cut short.
        assert damage(path) in ([(begin, end)], [] if number == 3 else None)


def test_bytes_that_hold_no_record(tmp_path: Path) -> None:
    path = tmp_path / "log-0001.bin"
    path.write_bytes(b"DCPL" * 10**6)  # a million beginnings, which must not take for ever
    assert records(path) == []
    path.write_bytes(bytes(range(256)))
    assert (records(path), damage(path)) == ([], [(0, 256)])
    path.write_bytes(b"")
    assert (records(path), damage(path)) == ([], [])


def test_what_a_newer_version_writes_is_passed_over(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        for record in (RECORDS[0], Record(99, 7, 3, b"new"), RECORDS[1]):
            log.append(record, durable=True)
    assert records(log.path) == RECORDS[:2]
    assert damage(log.path) == []


def test_only_our_names_are_logs(tmp_path: Path) -> None:
    path = written(tmp_path)
    for name in ("log-0001 (conflicted copy).bin", "log-.bin", "log-0002.bin.tmp", "log-x.bin"):
        (tmp_path / name).write_bytes(b"")
    assert log_files(tmp_path) == [path]


def test_a_pipe_is_refused_and_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "log-0001.bin")
    with pytest.raises(UnreadableError, match=r"cannot read .*log-0001.bin: is not a regular file"):
        list(read_log(tmp_path / "log-0001.bin"))


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
        monkeypatch.undo()
        assert records(log.path) == RECORDS[:1]
        log.append(RECORDS[2], durable=True)
    assert records(log.path) == [RECORDS[0], RECORDS[2]]
