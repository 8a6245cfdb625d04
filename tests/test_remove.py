"""Removing and archiving runs: what is removed is said first, and a run at work never is."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest

from dacapo.comparison.progress import read_progress
from dacapo.remove import main
from dacapo.runs import RunFolder, removal
from tests.conftest import run_document, write_run


def command(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["remove", *arguments])
    try:
        main()
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


@pytest.fixture
def runs_dir(tmp_path: Path) -> Path:
    for name in ("a", "b"):
        folder = write_run(tmp_path / "runs", name, 10, "done")
        for iteration in (5, 10):
            folder.checkpoint(iteration).write_bytes(bytes(2**20))
        (folder.path / "void" / "checkpoints").mkdir(parents=True)
        (folder.path / "void" / "checkpoints" / "x").write_bytes(b"x")
    return tmp_path / "runs"


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_what_is_removed_is_said_first(
    runs_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    before = content(runs_dir)
    assert command(monkeypatch, f"runs_dir={runs_dir}", "run=[a/0]") == 0
    out = capsys.readouterr().out
    assert f"{runs_dir}/a/0 (done): 5 files, 2.0 MiB" in out
    assert "nothing is removed yet: add confirm=true to remove these 2.0 MiB" in out
    assert content(runs_dir) == before
    assert command(monkeypatch, f"runs_dir={runs_dir}", "run=a/0", "confirm=true") == 0
    assert [p.run for p in read_progress(runs_dir)] == ["b/0"]
    assert not (runs_dir / "a").exists()


@pytest.mark.parametrize("what", ["checkpoints", "void"])
def test_a_part_of_a_run(runs_dir: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    (before,) = (p for p in read_progress(runs_dir) if p.run == "a/0")
    whole = content(runs_dir)
    arguments = [f"runs_dir={runs_dir}", "run=[a,b/0]", f"what={what}", "confirm=true"]
    assert command(monkeypatch, *arguments) == 0
    (after,) = (p for p in read_progress(runs_dir) if p.run == "a/0")
    assert after == before
    assert content(runs_dir) == {k: v for k, v in whole.items() if k.split("/")[2] != what}


@pytest.mark.parametrize("suffix", ["tar", "tar.gz"])
def test_an_archive_brings_runs_back(
    runs_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    before = content(runs_dir)
    packed = tmp_path / f"old.{suffix}"
    arguments = [f"runs_dir={runs_dir}", "run=[a,b]", f"archive={packed}"]
    assert command(monkeypatch, *arguments) == 0
    assert not packed.exists()  # nothing without confirm=true
    assert command(monkeypatch, *arguments, "confirm=true") == 0
    assert list(runs_dir.iterdir()) == []
    with tarfile.open(packed) as file:
        file.extractall(runs_dir, filter="data")
    assert content(runs_dir) == before
    assert {p.state for p in read_progress(runs_dir)} == {"done"}
    assert {p.name for p in tmp_path.iterdir()} == {"runs", packed.name}


def test_a_run_at_work_is_never_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    folder = RunFolder(tmp_path / "live" / "0")
    with folder.writing(run_document("live")):
        before = set(content(tmp_path))
        assert command(monkeypatch, f"runs_dir={tmp_path}", "run=[live]", "confirm=true") == 1
        assert set(content(tmp_path)) == before
    assert "live/0 is running: process " in capsys.readouterr().err


def test_an_archive_that_differs_keeps_the_run(
    runs_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    before = content(runs_dir)
    monkeypatch.setattr(removal, "_digest", lambda file, seen=[]: seen.append(1) or len(seen))
    arguments = [f"runs_dir={runs_dir}", "run=[a]", f"archive={tmp_path}/a.tar", "confirm=true"]
    assert command(monkeypatch, *arguments) == 1
    assert "differs from it" in capsys.readouterr().err
    assert content(runs_dir) == before
    assert {p.name for p in tmp_path.iterdir()} == {"runs"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run=[]"], "give the runs to remove"),
        (["run=[nobody]"], "run=nobody: there is no such run below"),
        (["run=[nobody/0]"], "there is no folder"),
        (["run=[a]", "archive=a.zip", "confirm=true"], "the name must end in .tar or .tar.gz"),
        (["run=[a]", "archive={taken}", "confirm=true"], "exists already"),
        (["run=[a]", "archive=/no/such/a.tar", "confirm=true"], "cannot be written: No such file"),
        (["run=[a]", "what=everything"], "everything"),
    ],
)
def test_mistakes_remove_nothing(
    runs_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Any,
    arguments: list[str],
    message: str,
) -> None:
    taken = tmp_path / "taken.tar"
    taken.write_bytes(b"")
    before = content(runs_dir)
    given = [a.replace("{taken}", str(taken)) for a in arguments]
    assert command(monkeypatch, f"runs_dir={runs_dir}", *given) == 1
    assert message in capsys.readouterr().err
    assert content(runs_dir) == before


def test_a_removal_that_is_killed_leaves_no_half_of_a_run(
    runs_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "rmtree", killed)
    assert command(monkeypatch, f"runs_dir={runs_dir}", "run=[a]", "confirm=true") == 130
    monkeypatch.undo()
    assert [p.run for p in read_progress(runs_dir)] == ["b/0"]
    write_run(runs_dir, "a", 10, "done")
    assert command(monkeypatch, f"runs_dir={runs_dir}", "run=[a]", "confirm=true") == 0
    assert [p.name for p in runs_dir.iterdir()] == ["b"]
