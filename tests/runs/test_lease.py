"""One writer a run: on this machine, from another one, and through mounts that remember."""

from __future__ import annotations

import dataclasses
import errno
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dacapo.experiments import TrainingIterationStats
from dacapo.runs import BusyError, RunFolder, read_state
from dacapo.runs import lease as module
from dacapo.runs.lease import claim, has_ended, is_lost, owner_of
from dacapo.runs.log import Kind, Record, log_files
from dacapo.runs.owner import Owner
from tests.conftest import run_document

HOLDER = """
import sys, pathlib
from dacapo.runs.lease import claim
log = claim(pathlib.Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def hold(folder: Path) -> subprocess.Popen[bytes]:
    """Another process that has claimed a folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    return process


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on this process is on another machine, where a lease is a second."""
    monkeypatch.setattr("dacapo.runs.owner._place", lambda: ("another", "another", ""))
    monkeypatch.setattr(module, "LEASE", 1.0)


def test_a_claim_names_its_owner(tmp_path: Path) -> None:
    with claim(tmp_path) as log:
        assert owner_of(log.path) == dataclasses.replace(
            Owner.current(), since=owner_of(log.path).since  # type: ignore[union-attr]
        )  # fmt: skip
        assert Owner.current().is_alive()
        assert [p.name for p in tmp_path.iterdir()] == ["log-0001.bin"]


def test_a_second_process_is_told_of_the_first(tmp_path: Path) -> None:
    with hold(tmp_path) as first:
        with pytest.raises(BusyError, match=rf"trained by process {first.pid} on "):
            claim(tmp_path)
        first.kill()
        first.wait()
        with claim(tmp_path) as log:
            assert log.path.name == "log-0002.bin"
            assert not is_lost(log)


def test_a_log_that_another_has_followed_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with claim(tmp_path) as log:
        assert not is_lost(log)
        monkeypatch.setattr(Owner, "is_alive", lambda self: False)
        with claim(tmp_path):
            assert is_lost(log)


def test_a_log_that_another_has_followed_at_a_distance_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with claim(tmp_path) as log:
        (tmp_path / "log-0003.bin").write_bytes(b"")
        assert is_lost(log)


@pytest.mark.parametrize("has_successor", [False, True])
def test_a_folder_that_was_moved_is_lost(tmp_path: Path, has_successor: bool) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    with claim(folder) as log:
        folder.rename(tmp_path / "moved")
        if has_successor:
            folder.mkdir()
            claim(folder)
        assert is_lost(log)


def test_a_killed_process_that_nobody_has_waited_for_is_dead(tmp_path: Path) -> None:
    with hold(tmp_path) as first:
        first.kill()
        deadline = time.monotonic() + 5
        while (owner := owner_of(tmp_path / "log-0001.bin")) is not None and owner.is_alive():
            assert time.monotonic() < deadline
        with claim(tmp_path):  # it is a zombie still
            pass


def test_a_process_id_that_is_used_again_is_another_process(tmp_path: Path) -> None:
    me = Owner.current()
    assert dataclasses.replace(me, started=me.started - 1).is_alive() is False
    assert dataclasses.replace(me, host="other", boot="another").is_alive() is None


def test_a_requeued_job_takes_over_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job runs once at a time: what it was before it was requeued is dead."""
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    before = dataclasses.replace(Owner.current(), pid=1, host="other", boot="another")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    assert before.is_alive() is False
    assert dataclasses.replace(before, restarts=1).is_alive() is None  # another node of the job
    assert Owner.current().is_alive()  # two processes of one job on one machine are two
    assert dataclasses.replace(before, job="8").is_alive() is None


def test_an_owner_elsewhere_that_gives_signs_of_life(tmp_path: Path, elsewhere: None) -> None:
    with hold(tmp_path):
        log = log_files(tmp_path)[0]

        def beat() -> None:
            time.sleep(0.3)
            with log.open("ab") as file:
                file.write(Record(Kind.step, 0, 0, b"").frame())

        thread = threading.Thread(target=beat)
        thread.start()
        with pytest.raises(BusyError, match="trained by process"):
            claim(tmp_path)
        thread.join()


def test_an_owner_elsewhere_that_is_silent(tmp_path: Path, elsewhere: None) -> None:
    with hold(tmp_path):
        begin = time.monotonic()
        with claim(tmp_path):
            assert 1 < time.monotonic() - begin < 5


def test_an_owner_elsewhere_that_has_ended(tmp_path: Path, elsewhere: None) -> None:
    log = claim(tmp_path)
    log.append(Record(Kind.outcome, 0, 0, b"{}"), durable=True)
    assert has_ended(log.path)
    begin = time.monotonic()
    with claim(tmp_path):
        assert time.monotonic() - begin < 0.5


def test_of_many_one_wins(tmp_path: Path) -> None:
    code = HOLDER.replace("log = claim", "sys.stdin.readline()\nlog = claim")
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for _ in range(8)
    ]  # fmt: skip
    time.sleep(1.5)
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(b"\n")
        process.stdin.flush()
    # The winner holds on until its stdin ends; the others have failed by then.
    deadline = time.monotonic() + 30
    while sum(p.poll() is None for p in processes) > 1 and time.monotonic() < deadline:
        time.sleep(0.05)
    alive = [p for p in processes if p.poll() is None]
    errors = [p.communicate()[1].decode() for p in processes if p not in alive]
    for process in alive:
        process.communicate()
    assert len(alive) == 1
    assert all("BusyError" in error for error in errors)
    assert len(log_files(tmp_path)) == 1


@pytest.mark.parametrize("code", [errno.EPERM, errno.EOPNOTSUPP])
def test_a_disk_without_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def link(*_: Any) -> None:
        raise OSError(code, "no links here")

    monkeypatch.setattr(os, "link", link)
    with claim(tmp_path) as log:
        assert owner_of(log.path) is not None
        with pytest.raises(BusyError):
            claim(tmp_path)


def test_a_link_whose_answer_was_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file server did what was asked, and says on the repeated question: it exists already."""
    real = os.link

    def link(source: Path, target: Path) -> None:
        real(source, target)
        real(source, target)

    monkeypatch.setattr(os, "link", link)
    with claim(tmp_path) as log:
        assert owner_of(log.path) is not None


def test_who_was_taken_for_dead_writes_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was suspended for longer than a lease; the run is another's now."""
    monkeypatch.setattr("dacapo.runs.writer.BEAT", 0.05)
    run = RunFolder(tmp_path / "n" / "0")
    document = run_document("n")

    def work() -> None:
        with run.writing(document) as writer:
            monkeypatch.setattr(Owner, "is_alive", lambda self: False)
            with claim(run.path):
                time.sleep(0.3)  # the heart has seen it
                writer.add_step(TrainingIterationStats(0, 0.5, 0.1))

    with pytest.raises(BusyError, match="belongs to another process now"):
        work()
    assert not has_ended(run.path / "log-0001.bin")


def test_a_writer_gives_signs_of_life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dacapo.runs.writer.BEAT", 0.05)
    run = RunFolder(tmp_path / "n" / "0")
    with run.writing(run_document("n")):
        path = log_files(run.path)[0]
        size = path.stat().st_size
        time.sleep(0.4)
        assert path.stat().st_size > size
        assert read_state(run).name == "running"
        assert str(os.getpid()) in read_state(run).who


@pytest.fixture
def mounts(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """One folder under two mounts; each remembers names and attributes for 3 seconds."""
    if shutil.which("bindfs") is None or not os.access("/dev/fuse", os.W_OK):
        pytest.skip("needs bindfs and /dev/fuse, to mount a folder twice")
    source = tmp_path / "disk"
    source.mkdir()
    options = "attr_timeout=3,entry_timeout=3,negative_timeout=3"
    paths = tmp_path / "one", tmp_path / "two"
    for path in paths:
        path.mkdir()
        subprocess.run(["bindfs", "-o", options, str(source), str(path)], check=True)
    yield paths
    for path in paths:
        subprocess.run(["umount", "-l", str(path)], check=True)


@pytest.mark.slow
class TestTwoMounts:
    def test_a_live_owner_keeps_its_run(
        self, mounts: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The other mount remembers an old size for 3 s; the log grows every second."""
        one, two = mounts
        with hold(one) as first:
            log = two / "log-0001.bin"
            assert log.stat().st_size > 0  # remembered from here on
            stop = threading.Event()

            def beat() -> None:
                while not stop.wait(1):
                    with (one / "log-0001.bin").open("ab") as file:
                        file.write(Record(Kind.step, 0, 0, b"").frame())

            thread = threading.Thread(target=beat)
            thread.start()
            monkeypatch.setattr("dacapo.runs.owner._place", lambda: ("another", "another", ""))
            monkeypatch.setattr(module, "LEASE", 6.0)
            try:
                with pytest.raises(BusyError, match=f"process {first.pid} on"):
                    claim(two)
            finally:
                stop.set()
                thread.join()

    def test_a_claim_that_a_mount_does_not_see_yet(
        self, mounts: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The mount remembers that the next log is not there, but the disk knows."""
        one, two = mounts
        with claim(two) as mine:
            assert not is_lost(mine)  # and remembers it
            monkeypatch.setattr(Owner, "is_alive", lambda self: False)
            with claim(one) as theirs:
                assert theirs.path.name == "log-0002.bin"
                monkeypatch.setattr(module, "log_files", lambda folder: [mine.path])
                with pytest.raises(BusyError):
                    claim(two)
            deadline = time.monotonic() + 10
            while not is_lost(mine):
                assert time.monotonic() < deadline
                time.sleep(0.1)
