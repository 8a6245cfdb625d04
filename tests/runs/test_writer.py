"""What a writer leaves when the disk fails, or when its folder becomes another's."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from dacapo.errors import InputError
from dacapo.experiments import TrainingIterationStats, ValidationIterationScores
from dacapo.experiments.score_table import ScoreHeader
from dacapo.runs import BusyError, RunFolder
from dacapo.runs.log import log_files
from dacapo.runs.owner import Owner
from tests.conftest import run_document

HEADER = ScoreHeader(["a"], [{"label": "x"}], [{"name": "voi", "higher_is_better": 0}], "voi")
STATE = {"model.w": torch.ones(2)}
DOCUMENT = run_document("n")


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "n" / "0")


def step(iteration: int) -> TrainingIterationStats:
    return TrainingIterationStats(iteration, iteration / 10, 0.1, 0.01)


def losses(run: RunFolder) -> list[float]:
    return run.read_history().steps[:, 0].tolist()


def test_a_flush_that_failed_costs_no_step(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network disk reports a full quota when it flushes what it had accepted."""
    with run.writing(DOCUMENT) as writer:
        writer.begin(0, HEADER)
        writer.add_step(step(0))
        writer.add_step(step(1))
        real = os.fsync
        answers = iter([OSError(errno.EDQUOT, "Disk quota exceeded")])

        def fsync(file: int) -> None:
            if (error := next(answers, None)) is not None:
                raise error
            real(file)

        monkeypatch.setattr(os, "fsync", fsync)
        with pytest.raises(InputError, match=r"cannot write .*log-0001.bin: Disk quota exceeded"):
            writer.add_scores(ValidationIterationScores(2, [[[1.0]]]))
        for iteration in range(2, 1000):
            writer.add_step(step(iteration))
        writer.finish("done")
    assert losses(run) == [i / 10 for i in range(1000)]
    assert run.read_history().damage == []


def test_steps_that_are_written_twice_count_once(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The flush failed, and the record could not be removed either; it is on the disk."""
    with run.writing(DOCUMENT) as writer:
        writer.begin(0, HEADER)
        for iteration in range(3):
            writer.add_step(step(iteration))
        rows = writer._steps.copy()
        writer._flush()
        writer._steps[:] = rows
        writer.add_step(step(3))
        writer.finish("done")
    assert losses(run) == [0.0, 0.1, 0.2, 0.3]


@pytest.mark.parametrize("has_successor", [True, False])
def test_who_lost_its_folder_leaves_the_successor_alone(
    run: RunFolder, tmp_path: Path, has_successor: bool
) -> None:
    """The folder was moved away, and perhaps another run begun in its place."""
    with run.writing(DOCUMENT) as writer:
        writer.begin(0, HEADER)
        writer.add_checkpoint(1, STATE, keep=set())
        run.path.rename(tmp_path / "moved")
        if has_successor:
            with run.writing(DOCUMENT) as other:
                other.begin(0, HEADER)
                other.add_checkpoint(3, STATE, keep=set())
                other.finish("done")
        before = content(run.path)
        for act in (
            lambda: writer.add_checkpoint(2, STATE, keep=set(), latest=1),
            lambda: writer.add_scores(ValidationIterationScores(1, [[[1.0]]])),
            lambda: writer.add_file("curves.png", b"ours"),
            lambda: writer.begin(0, HEADER),
        ):
            with pytest.raises(InputError):
                act()
        assert content(run.path) == before
        shutil.rmtree(run.path, ignore_errors=True)
        (tmp_path / "moved").rename(run.path)


def content(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_between_writing_and_renaming_it_looks_again(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that was suspended while it wrote 200 MB finds the run in other hands."""
    from dacapo.processes import files

    monkeypatch.setattr(Owner, "is_alive", lambda self: False)
    real = os.fsync
    taken: list[Any] = []

    def work() -> None:
        with run.writing(DOCUMENT) as writer:
            writer.begin(0, HEADER)
            writer.add_checkpoint(1, STATE, keep=set())
            writer._flush()

            def fsync(file: int) -> None:
                real(file)
                if not taken and "checkpoints" in os.readlink(f"/proc/self/fd/{file}"):
                    taken.append(files)
                    with run.writing(DOCUMENT) as other:
                        other.begin(0, HEADER)

            monkeypatch.setattr(os, "fsync", fsync)
            writer.add_checkpoint(5, STATE, keep=set(), latest=1)

    with pytest.raises(BusyError, match="belongs to another process now"):
        work()
    assert taken
    assert 5 not in run.checkpoints()
    assert [p.name for p in run.checkpoints_dir.iterdir()] == []  # begun anew: 1 was set aside


def test_the_error_is_told_though_it_cannot_be_written(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def work() -> None:
        with run.writing(DOCUMENT):

            def full(_: Any) -> None:
                raise OSError(errno.ENOSPC, "No space left on device")

            monkeypatch.setattr(os, "fsync", full)
            raise RuntimeError("the cause")

    with pytest.raises(RuntimeError, match="the cause"):
        work()
    assert "how the run ended is lost: cannot write" in capsys.readouterr().err


def test_what_is_void_is_kept(run: RunFolder) -> None:
    with run.writing(DOCUMENT) as writer:
        for iteration in (1, 2, 3):
            writer.add_checkpoint(iteration, STATE, keep={1})
    with run.writing(DOCUMENT) as writer:
        writer.begin(2, HEADER)
    assert run.checkpoints() == [1, 2]
    assert (run.path / "void" / "checkpoints" / "00000003.safetensors").is_file()


def test_what_is_void_twice_is_kept_twice(run: RunFolder) -> None:
    for _ in range(2):
        with run.writing(DOCUMENT) as writer:
            writer.add_checkpoint(3, STATE, keep=set())
        with run.writing(DOCUMENT) as writer:
            writer.begin(2, HEADER)
    assert len(list((run.path / "void" / "checkpoints").iterdir())) == 2


def test_odd_names_are_passed_over(run: RunFolder) -> None:
    with run.writing(DOCUMENT) as writer:
        writer.add_checkpoint(3, STATE, keep=set())
    for name in ("00abc", "1", "٣٣٣٣٣٣٣٣", "-0000003"):
        (run.checkpoints_dir / f"{name}.safetensors").write_bytes(b"")
        run.snapshot(0).with_name(name).mkdir(parents=True)
    assert run.checkpoints() == [3]
    assert run.snapshots() == []


def test_a_log_that_vanished_is_no_log(run: RunFolder) -> None:
    with run.writing(DOCUMENT) as writer:
        writer.begin(0, HEADER)
    log_files(run.path)[0].unlink()
    assert run.read_history().outcomes == []
