"""Disks as they are: shared by two users, full, read-only; and clocks that jump."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest

from dacapo.comparison.progress import read_progress
from dacapo.comparison.tables import compare
from dacapo.errors import InputError
from dacapo.experiments.run import Run
from dacapo.experiments.run_config import RunConfig
from dacapo.experiments.trainers.trainer import Batch
from dacapo.runs import RunFolder
from dacapo.runs.owner import Owner
from dacapo.train import train
from tests.conftest import SMALL_AFFINITIES, small_run_config

pytestmark = pytest.mark.slow
needs_root = pytest.mark.skipif(os.getuid() != 0, reason="needs root, to act as two users")
ANN, BOB, GROUP = 23001, 23002, 23000


@contextmanager
def user(number: int, umask: int) -> Iterator[None]:
    """Act as a user of the group. All is imported and composed by then, as files may be root's."""
    before = os.umask(umask)
    groups = os.getgroups()
    os.setgroups([GROUP])
    os.setegid(GROUP)
    os.seteuid(number)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)
        os.umask(before)


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """A folder of the group; all above it can be entered."""
    packages = Path(matplotlib.__file__).resolve()
    if not all(p.stat().st_mode & 0o005 == 0o005 for p in packages.parents):
        pytest.skip("needs installed packages that other users can read")
    for parent in (tmp_path, *tmp_path.parents):
        if parent.stat().st_mode & 0o005 != 0o005:
            parent.chmod(0o755)
    folder = tmp_path / "runs"
    folder.mkdir()
    os.chown(folder, 0, GROUP)
    folder.chmod(0o2775)
    train(small_run_config("name=warm"), tmp_path / "imported")
    compare(tmp_path / "imported")
    return folder


@needs_root
def test_two_users_who_may_read_each_others_files(
    shared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ann, bob = small_run_config("name=ann"), small_run_config("name=bob")
    longer = small_run_config("name=ann", "num_iterations=8", "trainer.schedule_iterations=6")
    another = small_run_config("name=ann", "repetition=1")
    with user(ANN, 0o022):
        train(ann, shared)
        assert compare(shared) == []
    with user(BOB, 0o022):
        train(bob, shared)
        assert [p.state for p in read_progress(shared)] == ["done", "done"]
        assert compare(shared) == []  # replaces the one of the other
        with pytest.raises(InputError, match=r"cannot write .*log-0002.bin: Permission denied"):
            train(longer, shared)
        with pytest.raises(InputError, match=r"cannot write .*ann/1: Permission denied"):
            train(another, shared)
    with user(ANN, 0o022):
        assert compare(shared) == []


@needs_root
def test_two_users_who_may_write_each_others_files(shared: Path) -> None:
    first = small_run_config("name=ours")
    longer = small_run_config("name=ours", "num_iterations=8", "trainer.schedule_iterations=6")
    another = small_run_config("name=ours", "repetition=1")
    with user(ANN, 0o002):
        train(first, shared)
    with user(BOB, 0o002):
        train(longer, shared)
        train(another, shared)
    with user(ANN, 0o002):
        train(another, shared)
        assert [p.iteration for p in read_progress(shared)] == [8, 6]


@needs_root
def test_two_users_who_may_not_read_each_others_files(shared: Path) -> None:
    ann, bob = small_run_config("name=ann"), small_run_config("name=bob")
    with user(ANN, 0o077):
        train(ann, shared)
    with user(BOB, 0o077):
        train(bob, shared)
        shown = {p.run: p for p in read_progress(shared)}
        assert {k: p.state for k, p in shown.items()} == {"bob/0": "done", "ann/?": "unreadable"}
        assert "Permission denied" in shown["ann/?"].error
        assert compare(shared) == ["ann/?"]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk whose size can be changed."""
    path = tmp_path / "disk"
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(path)]
    if shutil.which("mount") is None:
        pytest.skip("needs the program mount")
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("needs to mount a tmpfs, as root can outside of most containers")
    yield path
    subprocess.run(["umount", "-l", str(path)], check=True)


def remount(path: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(path)], check=True)


def check_equal(one: RunFolder, other: RunFolder) -> None:
    """The same losses, scores and weights, and nothing that failed is left."""
    ours, theirs = one.read_history(), other.read_history()
    assert ours.is_done
    np.testing.assert_array_equal(ours.steps[:, 0], theirs.steps[:, 0])
    assert ours.scores == theirs.scores
    a, b = one.read_checkpoint(6), other.read_checkpoint(6)
    assert all((a[k] == b[k]).all() for k in b)
    assert not [p.name for p in one.path.rglob(".*")]


def resume(config: RunConfig, runs_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Train on in a new process; this one, which still lives, counts as dead."""
    with monkeypatch.context() as patch:
        patch.setattr(Owner, "is_alive", lambda self: False)
        train(config, runs_dir)


def test_a_disk_that_is_full_wherever_it_may_be(
    disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For every amount of free space: one clear error, and then the same run to its end."""
    config = small_run_config("name=a", "trainer.checkpoint_interval=2")
    train(config, tmp_path / "whole")
    whole = RunFolder(tmp_path / "whole" / "a" / "0")
    taken = sum(-(-p.stat().st_size // 4096) * 4 for p in whole.path.rglob("*") if p.is_file())
    errors = []
    for number in range(25):
        runs_dir = disk / f"runs{number}"
        used = (shutil.disk_usage(disk).used // 1024) + 4
        remount(disk, f"size={used + (2 * taken * number) // 24}k")
        try:
            train(config, runs_dir)
        except InputError as error:
            errors.append(str(error))
        remount(disk, "size=64m")
        resume(config, runs_dir, monkeypatch)
        check_equal(RunFolder(runs_dir / "a" / "0"), whole)
        shutil.rmtree(runs_dir)
    assert 5 < len(errors) < 25
    assert all("No space left on device" in text and "\n" not in text for text in errors)


def test_a_disk_that_is_full_at_a_snapshot(disk: Path) -> None:
    config = small_run_config(
        "name=a", "trainer.snapshot_interval=1", "num_iterations=500", "validation_interval=500",
        "trainer.checkpoint_interval=500",
    )  # fmt: skip
    remount(disk, "size=2m")
    with pytest.raises(InputError, match=r"cannot write .*ome.zarr: No space left on device"):
        train(config, disk / "runs")


@pytest.mark.parametrize("step", [0, 3, 5])
def test_a_disk_that_becomes_read_only(
    tmp_path: Path, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small_run_config("name=a")
    train(config, tmp_path / "whole")
    real_step, real_open = Run.start_step, Path.open

    def refuse(*_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    def open_file(path: Path, mode: str = "r", **more: Any) -> Any:
        return refuse() if set(mode) & set("wax") else real_open(path, mode, **more)

    def train_step(run: Run, batch: Batch) -> object:
        if batch.iteration == step:
            monkeypatch.setattr(Path, "open", open_file)
            monkeypatch.setattr(os, "fsync", refuse)
        return real_step(run, batch)

    monkeypatch.setattr(Run, "start_step", train_step)
    with pytest.raises(InputError, match="Read-only file system"):
        train(config, tmp_path / "runs")
    assert read_progress(tmp_path / "runs")[0].state == "running"  # as this process lives
    monkeypatch.undo()
    resume(config, tmp_path / "runs", monkeypatch)
    check_equal(RunFolder(tmp_path / "runs" / "a" / "0"), RunFolder(tmp_path / "whole" / "a" / "0"))


FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
JUMPS = """
import os, sys
from pathlib import Path
from dacapo.experiments.run import Run
from dacapo.experiments.run_config import RunConfig
from dacapo.train import main
clock, jumps = Path(os.environ["FAKETIME_TIMESTAMP_FILE"]), iter(["-1d", "+40d", "-3h", "+0"])
real = Run.start_step
def start_step(run, batch):
    if batch.iteration and batch.iteration % 2 == 0:
        clock.write_text(next(jumps, "+0"))
    return real(run, batch)
Run.start_step = start_step
main()
"""


@pytest.mark.skipif(FAKETIME is None, reason="needs libfaketime")
def test_a_clock_that_jumps(tmp_path: Path) -> None:
    config = small_run_config("name=a", "num_iterations=9")
    train(config, tmp_path / "whole")
    clock = tmp_path / "clock"
    clock.write_text("+0")
    environment = {
        **os.environ, "LD_PRELOAD": str(FAKETIME), "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1", "CI": "1",
        "PYTHONPATH": str(Path(__file__).parents[1]),
    }  # fmt: skip
    command = [sys.executable, "-c", JUMPS, *SMALL_AFFINITIES, "name=a", "num_iterations=9"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    ours, theirs = (RunFolder(tmp_path / d / "a" / "0").read_history() for d in ("runs", "whole"))
    assert ours.is_done
    np.testing.assert_array_equal(ours.steps[:, 0], theirs.steps[:, 0])
    assert (ours.steps[:, 1] >= 0).all()  # durations are those of a clock that does not jump
    assert (ours.steps[:, 1] < 60).all()
    assert read_progress(tmp_path / "runs")[0].state == "done"
