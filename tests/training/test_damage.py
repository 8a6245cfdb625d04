"""A run whose files are damaged resumes from what is whole, to the same bits."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dacapo.comparison.progress import read_progress
from dacapo.runs import RunFolder, lease
from dacapo.runs.log import Kind, Record, log_files, read_log
from dacapo.runs.owner import Owner
from dacapo.train import train
from tests.conftest import small_run_config


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run; its runs_dir."""
    runs_dir = tmp_path_factory.mktemp("whole")
    train(small_run_config("name=a"), runs_dir)
    return runs_dir


@pytest.fixture
def copied(whole: Path, tmp_path: Path) -> RunFolder:
    shutil.copytree(whole, tmp_path / "runs")
    return RunFolder(tmp_path / "runs" / "a" / "0")


def resume(folder: RunFolder) -> None:
    """Train on in another process; the one that has written the logs, this one, counts as dead."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Owner, "is_alive", lambda self: False)
        patch.setattr(lease, "LEASE", 0.5)
        train(small_run_config("name=a"), folder.path.parent.parent)


def check_equal(folder: RunFolder, whole: Path) -> None:
    """Losses, scores and weights are those of the undamaged run."""
    expected = RunFolder(whole / "a" / "0")
    ours, theirs = folder.read_history(), expected.read_history()
    assert ours.is_done
    assert ours.damage == []
    np.testing.assert_array_equal(ours.steps[:, 0], theirs.steps[:, 0])
    assert ours.scores == theirs.scores
    mine, other = folder.read_checkpoint(6), expected.read_checkpoint(6)
    assert mine.keys() == other.keys()
    assert all((mine[k] == other[k]).all() for k in mine)


@pytest.mark.parametrize("kind", [k for k in list(Kind) if k is not Kind.waited_step])
def test_any_damaged_record_of_a_finished_run(
    copied: RunFolder, whole: Path, kind: Kind, capsys: Any
) -> None:
    """One flipped bit; the run is not trained again."""
    log = log_files(copied.path)[0]
    record = next(
        r for r in read_log(log) if (isinstance(r, Record) and r.kind == kind and len(r.payload))
        or (isinstance(r, Record) and r.kind == kind == Kind.begin)
    )  # fmt: skip
    data = bytearray(log.read_bytes())
    data[record.offset - 5] ^= 1
    log.write_bytes(data)
    (shown,) = read_progress(copied.path.parent.parent)
    assert "are damaged" in shown.error
    before = {p.name: p.read_bytes() for p in copied.checkpoints_dir.iterdir()}
    capsys.readouterr()
    resume(copied)
    out = capsys.readouterr().out
    assert "resuming from iteration 6" in out or "is finished" in out
    check_equal(copied, whole)
    assert {p.name for p in copied.checkpoints_dir.iterdir()} == before.keys()


@pytest.mark.parametrize("seed", range(5))
def test_fifty_random_bytes(copied: RunFolder, whole: Path, seed: int, capsys: Any) -> None:
    rng = random.Random(seed)
    log = log_files(copied.path)[0]
    data = bytearray(log.read_bytes())
    for _ in range(50):
        data[rng.randrange(len(data))] = rng.randrange(256)
    log.write_bytes(data)
    resume(copied)
    assert "training from iteration 0" not in capsys.readouterr().out
    check_equal(copied, whole)


@pytest.mark.parametrize("content", [b"", bytes(5000), random.Random(0).randbytes(5000)])
def test_a_log_that_holds_nothing_any_more(
    copied: RunFolder, whole: Path, content: bytes, capsys: Any
) -> None:
    log_files(copied.path)[0].write_bytes(content)
    resume(copied)
    assert "the history is restored from checkpoint 6" in capsys.readouterr().out
    check_equal(copied, whole)


def test_a_log_that_is_gone(copied: RunFolder, whole: Path) -> None:
    log_files(copied.path)[0].unlink()
    resume(copied)
    check_equal(copied, whole)


def test_a_damaged_checkpoint_is_kept_apart(copied: RunFolder, whole: Path, capsys: Any) -> None:
    log = log_files(copied.path)[0]
    log.write_bytes(log.read_bytes()[:-400])  # killed before its end
    latest = copied.checkpoint(6)
    data = bytearray(latest.read_bytes())
    data[-1] ^= 1
    latest.write_bytes(data)
    resume(copied)
    assert "using an earlier one" in capsys.readouterr().out
    check_equal(copied, whole)
    assert (copied.path / "void" / "checkpoints" / latest.name).read_bytes() == data


def test_another_config_is_refused_though_the_log_is_lost(copied: RunFolder) -> None:
    log_files(copied.path)[0].write_bytes(b"")
    with pytest.raises(ValueError, match="holds a run with another config"):
        train(small_run_config("name=a", "trainer.learning_rate=0.5"), copied.path.parent.parent)


@pytest.mark.parametrize("name", ["training.csv", "validation.csv"])
@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b'"', b"iteration,loss\n\x00"])
def test_a_broken_csv_blocks_nothing(
    copied: RunFolder, whole: Path, name: str, content: bytes
) -> None:
    log = log_files(copied.path)[0]
    log.write_bytes(log.read_bytes()[:-400])
    (copied.path / name).write_bytes(content)
    resume(copied)
    check_equal(copied, whole)
