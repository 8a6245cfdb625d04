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
from dacapo.runs.lease import claim
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
    assert "nothing has been removed: add confirm=true to remove 2.0 MiB" in out
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
    assert str(after) == str(before)  # some numbers are NaN
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
    real = removal._compare

    def compare(removals: Any, temporary: Path, path: Path) -> None:
        (runs_dir / "a" / "0" / "config.yaml").write_text("changed meanwhile")
        before["a/0/config.yaml"] = b"changed meanwhile"
        real(removals, temporary, path)

    monkeypatch.setattr(removal, "_compare", compare)
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
        (["run=[nobody/0]"], "run=nobody/0: there is no such run below"),
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


def test_an_archive_in_the_run_is_refused(
    runs_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    before = content(runs_dir)
    packed = runs_dir / "a" / "0" / "old.tar"
    arguments = [f"runs_dir={runs_dir}", "run=a/0", f"archive={packed}", "confirm=true"]
    assert command(monkeypatch, *arguments) == 1
    assert "old.tar lies in " in capsys.readouterr().err
    assert content(runs_dir) == before


def test_what_links_lead_to_is_neither_lost_nor_removed(
    runs_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    checkpoints, scratch = runs_dir / "a" / "0" / "checkpoints", tmp_path / "scratch"
    checkpoints.rename(scratch)
    checkpoints.symlink_to(scratch)
    common = [f"runs_dir={runs_dir}", "run=a/0", "confirm=true"]
    assert command(monkeypatch, *common, f"archive={tmp_path}/a.tar") == 1
    assert "is a link or a special file, whose content an archive would not hold" in (
        capsys.readouterr().err
    )
    assert command(monkeypatch, *common, "what=checkpoints") == 1
    assert "is a link: remove what it leads to by hand" in capsys.readouterr().err
    assert [p.name for p in (runs_dir / "a" / "0").glob("log-*")] == ["log-0001.bin"]
    assert command(monkeypatch, *common) == 0
    assert len(list(scratch.iterdir())) == 2


def test_only_runs_are_removed_and_those_below_runs_dir(
    runs_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    level = runs_dir / "pred.ome.zarr" / "0"
    level.mkdir(parents=True)
    (level / "zarr.json").write_text("{}")
    for name in (str(level), "pred.ome.zarr/0", "pred.ome.zarr"):
        assert command(monkeypatch, f"runs_dir={runs_dir}", f"run={name}", "confirm=true") == 1
    assert "there is no such run below" in capsys.readouterr().err
    write_run(tmp_path / "here", "a", 5, "done")
    monkeypatch.chdir(tmp_path / "here")
    arguments = [f"runs_dir={runs_dir}", "run=[a/0,a]", "confirm=true"]
    assert command(monkeypatch, *arguments) == 0
    assert (tmp_path / "here" / "a" / "0").is_dir()
    assert [p.run for p in read_progress(runs_dir)] == ["b/0"]
    monkeypatch.chdir(tmp_path / "here" / "a")
    assert command(monkeypatch, "run=0", "confirm=true") == 0
    assert level.is_dir()


def test_a_removal_that_is_killed_leaves_a_finished_run_finished(
    runs_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its claim is a log of a process that has trained nothing."""
    with claim(runs_dir / "a" / "0"):
        pass
    history = RunFolder(runs_dir / "a" / "0").read_history()
    assert (history.is_done, len(history.outcomes)) == (True, 1)


def test_what_is_written_before_the_claim_is_archived_too(
    runs_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = removal.plan_removal

    def plan(folder: RunFolder, part: str) -> removal.Removal:
        planned = real(folder, part)
        folder.checkpoint(20).write_bytes(b"late")
        return planned

    monkeypatch.setattr(removal, "plan_removal", plan)
    arguments = [f"runs_dir={runs_dir}", "run=a", f"archive={tmp_path}/a.tar", "confirm=true"]
    assert command(monkeypatch, *arguments) == 0
    with tarfile.open(tmp_path / "a.tar") as packed:
        assert "a/0/checkpoints/00000020.safetensors" in packed.getnames()


def test_a_run_that_cannot_be_read_can_be_removed(
    runs_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (runs_dir / "a" / "0" / "job.json").write_text("")
    assert command(monkeypatch, f"runs_dir={runs_dir}", "run=a", "confirm=true") == 0
    assert [p.run for p in read_progress(runs_dir)] == ["b/0"]
