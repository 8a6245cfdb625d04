"""Reading the runs of a folder: one bad folder, and what is remembered of the good ones."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dacapo.comparison import records as module
from dacapo.comparison.progress import read_progress
from dacapo.comparison.records import cache_file, read_records
from dacapo.comparison.run_record import RunRecord, read_record
from dacapo.comparison.tables import compare
from dacapo.experiments.halving_config import HalvingConfig
from dacapo.runs import RunFolder
from dacapo.runs.log import Kind, Record, log_files
from dacapo.sweeps.asha import reason_to_stop
from tests.conftest import run_document, small_run_config, write_run


def add(folder: RunFolder, kind: int, payload: bytes) -> None:
    with log_files(folder.path)[0].open("ab") as file:
        file.write(Record(kind, 0, 0, payload).frame())


def owner(**changes: Any) -> bytes:
    from dacapo.runs.owner import Owner

    return json.dumps({**Owner.current().encode(), **changes}).encode()


def replace_by_pipe(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


UNREADABLE: dict[str, Callable[[RunFolder], object]] = {
    "an empty job.json": lambda f: (f.path / "job.json").write_text(""),
    "a job.json of nothing": lambda f: (f.path / "job.json").write_text("null"),
    "a job.json of another": lambda f: (f.path / "job.json").write_text('{"launcher": {}}'),
    "a job.json that nests": lambda f: (f.path / "job.json").write_text("[" * 100_000),
    "a pipe for job.json": lambda f: replace_by_pipe(f.path / "job.json"),
    "a folder for job.json": lambda f: (f.path / "job.json").mkdir(),
    "a pipe for a log": lambda f: replace_by_pipe(log_files(f.path)[0]),
    "an owner that is text": lambda f: add(f, Kind.owner, b'"me"'),
    "an owner of other types": lambda f: add(f, Kind.owner, owner(pid="seven")),
    "an outcome without status": lambda f: add(f, Kind.outcome, b"{}"),
    "a header of nothing": lambda f: add(f, Kind.header, b"null"),
    "a document of nothing": lambda f: add(f, Kind.document, b'{"config": []}'),
    "steps that are not three": lambda f: add(f, Kind.step, b"x" * 25),
    "text that is not utf-8": lambda f: add(f, Kind.outcome, b"\xff"),
    "no config": lambda f: [p.unlink() for p in (f.path / "config.yaml", *log_files(f.path))],
    "a config of nothing": lambda f: [
        (f.path / "config.yaml").write_text("null"), *[p.unlink() for p in log_files(f.path)]
    ],
    "a broken yaml": lambda f: [
        (f.path / "config.yaml").write_text("a: [1"), *[p.unlink() for p in log_files(f.path)]
    ],
    "a pipe for a config": lambda f: [
        replace_by_pipe(f.path / "config.yaml"), *[p.unlink() for p in log_files(f.path)]
    ],
}  # fmt: skip
HARMLESS: dict[str, Callable[[RunFolder], object]] = {
    "a record of a newer version": lambda f: add(f, 99, b"?"),
    "an owner of a newer version": lambda f: add(f, Kind.owner, owner(gpu="H100")),
    "a conflicted copy": lambda f: (f.path / "log-0001 (conflicted copy).bin").write_bytes(b"?"),
    "an empty log": lambda f: (f.path / "log-0002.bin").write_bytes(b""),
    "a checkpoint that is a folder": lambda f: f.checkpoint(3).mkdir(),
}


def plain(records: list[RunRecord]) -> list[str]:
    """Records as text, in which NaN equals NaN."""
    return [repr(replace(record, folder=record.folder.path)) for record in records]  # type: ignore[arg-type]


@pytest.fixture
def runs_dir(tmp_path: Path) -> Path:
    for name in ("a", "bad", "c"):
        write_run(tmp_path / "runs", name, 10, "done")
    return tmp_path / "runs"


@pytest.mark.parametrize("name", UNREADABLE)
def test_one_bad_folder_does_not_hide_the_others(
    runs_dir: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = RunFolder(runs_dir / "bad" / "0")
    bad.checkpoint(10).write_bytes(b"")
    UNREADABLE[name](bad)
    shown = {p.run: p for p in read_progress(runs_dir)}
    assert {run: p.state for run, p in shown.items()} == {
        "a/0": "done", "c/0": "done", "bad/0": "unreadable"
    }  # fmt: skip
    assert f"cannot read {bad.path}" in shown["bad/0"].error
    assert compare(runs_dir) == ["bad/0"]
    out = capsys.readouterr().out
    assert "unreadable: bad/0: cannot read" in out
    assert "3 runs, 1 failed" in out
    halving = HalvingConfig(factor=2, min_iterations=10)
    own = RunFolder(runs_dir / "a" / "0")
    config = small_run_config("num_iterations=900", "validation_interval=100", "name=a")
    assert reason_to_stop(halving, config, [], own, runs_dir) == ""


@pytest.mark.parametrize("name", HARMLESS)
def test_what_is_only_odd_is_read(runs_dir: Path, name: str) -> None:
    HARMLESS[name](RunFolder(runs_dir / "bad" / "0"))
    states = [p.state for p in read_progress(runs_dir)]
    assert states.count("done") >= 2
    assert "unreadable" not in states


def test_a_folder_that_vanishes_is_left_out(
    runs_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = module.read_record

    def read(folder: RunFolder) -> Any:
        if folder.label == "bad/0":
            shutil.rmtree(folder.path)
        return real(folder)

    monkeypatch.setattr(module, "read_record", read)
    assert [p.run for p in read_progress(runs_dir)] == ["a/0", "c/0"]


def test_levels_of_an_image_are_no_runs(runs_dir: Path) -> None:
    (runs_dir / "prediction.ome.zarr" / "0").mkdir(parents=True)
    (runs_dir / "prediction.ome.zarr" / "0" / "zarr.json").write_text("{}")
    assert len(read_progress(runs_dir)) == 3


def test_control_characters_do_not_reach_the_terminal(tmp_path: Path) -> None:
    write_run(tmp_path, "a", 1, "failed", error="\x1b]0;owned\x07 no luck", traceback="")
    (shown,) = read_progress(tmp_path)
    assert shown.error == r"\x1b]0;owned\x07 no luck"


def test_what_has_not_changed_is_not_read_again(
    runs_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = read_records(runs_dir)
    read: list[str] = []

    def counting(folder: RunFolder) -> Any:
        read.append(folder.label)
        return read_record(folder)

    monkeypatch.setattr(module, "read_record", counting)
    again, _ = read_records(runs_dir)
    assert (read, plain(again)) == ([], plain(first))
    for before, after in zip(first, again, strict=True):
        assert (before.values() == after.values()).all()
        assert before.state() == after.state()
    write_run(runs_dir, "c", 10, "done")
    add(RunFolder(runs_dir / "bad" / "0"), Kind.outcome, b'{"status": "stopped"}')
    changed, _ = read_records(runs_dir)
    assert read == ["bad/0", "c/0"]
    assert changed[1].outcome == {"status": "stopped"}
    shutil.rmtree(runs_dir / "a")
    assert [r.label for r in read_records(runs_dir)[0]] == ["bad/0", "c/0"]


@pytest.mark.parametrize(
    "damage",
    [lambda b: b[:100], lambda b: b.replace(b"1.5", b"9.5"), lambda b: b"", lambda b: b"x\n{"],
)
def test_a_damaged_cache_is_not_believed(runs_dir: Path, damage: Callable[[bytes], bytes]) -> None:
    first, _ = read_records(runs_dir)
    path = cache_file(runs_dir)
    assert path is not None
    path.write_bytes(damage(path.read_bytes()))
    assert plain(read_records(runs_dir)[0]) == plain(first)


def test_without_a_place_for_the_cache(
    runs_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert len(read_records(runs_dir)[0]) == 3
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_file(runs_dir) is None
    assert len(read_records(runs_dir)[0]) == 3


def test_the_cache_follows_a_folder_that_is_replaced(runs_dir: Path, tmp_path: Path) -> None:
    read_records(runs_dir)
    runs_dir.rename(tmp_path / "old")
    write_run(runs_dir, "a", 4, "failed", error="no luck", traceback="")
    (record,) = read_records(runs_dir)[0]
    assert (record.trained_until, record.state().error) == (4, "no luck")


def test_a_run_at_work_is_alive_as_long_as_its_process(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "a" / "0")
    with folder.writing(run_document("a")):
        (record,) = read_records(tmp_path)[0]
        assert record.state().name == "running"
        assert record.owner is not None
        ended = replace(record, owner=replace(record.owner, started=1))
        assert ended.state().name == "killed"
