"""Sweeps in processes on this machine, as a user starts them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from dacapo.comparison.progress import Progress, read_progress
from dacapo.launching.local import _gpus
from dacapo.runs import RunFolder
from dacapo.train import train
from tests.conftest import SMALL_AFFINITIES, small_run_config
from tests.slow_trainer import write_script

ROOT = Path(__file__).parents[2]


def start(cwd: Path, *arguments: str) -> subprocess.Popen[str]:
    write_script(cwd)
    environment = {**os.environ, "CI": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    environment["XDG_STATE_HOME"] = str(cwd / "state")
    command = [
        sys.executable, "train.py", "-m", "--config-dir", "conf", "hydra/launcher=local",
        "trainer=slow", "trainer.pause=0", *SMALL_AFFINITIES, "name=a", *arguments,
    ]  # fmt: skip
    return subprocess.Popen(
        command, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True,
    )  # fmt: skip


def ended(process: subprocess.Popen[str], seconds: float = 200) -> tuple[int, str]:
    out, _ = process.communicate(timeout=seconds)
    return process.returncode, out


def states(cwd: Path) -> dict[str, Progress]:
    there = any(cwd.glob("runs/*/*/config.yaml"))
    return {r.run: r for r in read_progress(cwd / "runs")} if there else {}


def wait_for(cwd: Path, run: str, seconds: float = 60) -> RunFolder:
    """A run that has made its first step."""
    deadline = time.monotonic() + seconds
    while True:
        found = states(cwd).get(run)
        if found is not None and found.state == "running" and found.iteration:
            return RunFolder(cwd / "runs" / run)
        assert time.monotonic() < deadline, found
        time.sleep(0.1)


def kill(folder: RunFolder) -> None:
    owner = folder.read_history().owner
    assert owner is not None
    os.kill(owner.pid, signal.SIGKILL)


@pytest.mark.slow
def test_the_same_command_runs_what_is_missing(tmp_path: Path) -> None:
    arguments = ("repetition=range(3)", "hydra.launcher.at_once=2", "trainer.broken=[2]")
    status, out = ended(start(tmp_path, *arguments))
    assert status == 1
    assert "3 jobs, 3 to run" in out
    assert "2 at once on this machine" in out
    assert re.search(r"failed: a/2: RuntimeError: a bug in repetition 2 \(log: .*error.txt\)", out)
    assert "3 runs, 1 failed" in out
    assert "Traceback" not in out
    assert (tmp_path / "runs" / "comparison.nc").exists()

    status, out = ended(start(tmp_path, *arguments))
    assert status == 1
    assert "runs/a/0 is finished, voi " in out
    assert "3 jobs, 1 to run" in out

    status, out = ended(start(tmp_path, *arguments))
    assert status == 1
    assert "runs/a/2: failed twice in the same way: RuntimeError: a bug in repetition 2" in out
    assert "3 jobs, 0 to run" in out

    # Once it is mended, and one more repetition: only these two are trained.
    status, out = ended(start(tmp_path, "repetition=range(4)", "retry=true"))
    assert status == 0
    assert "4 jobs, 2 to run" in out
    assert "4 runs, 0 failed" in out
    assert RunFolder(tmp_path / "runs" / "a" / "0").num_writers() == 1

    # More iterations are added to what is there.
    more = ("num_iterations=8", "trainer.schedule_iterations=6")
    status, out = ended(start(tmp_path, "repetition=0", *more))
    assert status == 0
    assert RunFolder(tmp_path / "runs" / "a" / "0").read_history().iterations == [4, 6, 8]


@pytest.mark.slow
def test_a_killed_job_is_a_failed_one_and_the_others_finish(tmp_path: Path) -> None:
    arguments = ("repetition=0,1", "hydra.launcher.at_once=2", "num_iterations=20")
    process = start(tmp_path, *arguments, "trainer.pause=0.3")
    kill(wait_for(tmp_path, "a/0"))
    status, out = ended(process)
    assert status == 1
    assert "job 0 (a/0): killed: its process was ended by SIGKILL" in out
    assert {r.run: r.state for r in read_progress(tmp_path / "runs")} == {
        "a/0": "killed",
        "a/1": "done",
    }
    assert ended(start(tmp_path, *arguments))[0] == 0


@pytest.mark.slow
def test_a_time_limit_saves_and_goes_on(tmp_path: Path) -> None:
    """Signalled after 12 s; the pauses alone take 15 s."""
    status, out = ended(
        start(
            tmp_path, "repetition=0", "hydra.launcher.time=22s", "hydra.launcher.signal_delay=10",
            "num_iterations=20", "trainer.pause=0.75",
        )
    )  # fmt: skip
    assert status == 0, out
    folder = RunFolder(tmp_path / "runs" / "a" / "0")
    history = folder.read_history()
    assert history.is_done
    assert folder.num_writers() >= 2
    # Told before its first step, it has nothing to save and is "interrupted".
    assert all(e["status"] in ("preempted", "interrupted") for e in history.outcomes[:-1])
    whole = tmp_path / "whole"
    whole.mkdir()
    assert ended(start(whole, "repetition=0", "num_iterations=20"))[0] == 0
    other = RunFolder(whole / "runs" / "a" / "0")
    assert (history.steps[:, 0] == other.read_history().steps[:, 0]).all()
    ours, theirs = folder.read_checkpoint(20), other.read_checkpoint(20)
    assert all(torch.equal(ours[k], theirs[k]) for k in theirs)


@pytest.mark.slow
def test_a_job_that_passes_its_limit_too_often(tmp_path: Path) -> None:
    status, out = ended(
        start(
            tmp_path, "repetition=0", "hydra.launcher.time=22s", "hydra.launcher.signal_delay=10",
            "hydra.launcher.max_timeouts=1", "num_iterations=200", "trainer.pause=0.5",
        )
    )  # fmt: skip
    assert status == 1
    assert "it reached its time limit 2 times" in out
    assert states(tmp_path)["a/0"].iteration > 0


@pytest.mark.slow
def test_ctrl_c_saves_all_jobs(tmp_path: Path) -> None:
    process = start(
        tmp_path, "repetition=range(3)", "hydra.launcher.at_once=2", "num_iterations=50",
        "trainer.pause=0.3",
    )  # fmt: skip
    wait_for(tmp_path, "a/0")
    wait_for(tmp_path, "a/1")
    process.send_signal(signal.SIGINT)
    status, out = ended(process, 60)
    assert status == 130
    assert "each job saves itself" in out
    assert "Traceback" not in out
    found = {r.run: r.state for r in read_progress(tmp_path / "runs")}
    assert found == {"a/0": "interrupted", "a/1": "interrupted", "a/2": "killed"}
    for repetition in (0, 1):
        folder = RunFolder(tmp_path / "runs" / "a" / str(repetition))
        assert folder.checkpoints()[-1] == folder.read_history().trained_until


@pytest.mark.slow
def test_each_job_has_a_gpu_of_its_own(tmp_path: Path) -> None:
    arguments = ("repetition=range(4)", "hydra.launcher.gpus=[3,5]", "trainer.device=cpu")
    assert ended(start(tmp_path, *arguments))[0] == 0
    logs = [p.read_text() for p in (tmp_path / "state").glob("dacapo/jobs/*/*.out")]
    used = [re.findall(r"GPUs: (.*)", log) for log in logs]
    assert len(used) == 4
    assert {gpu for gpus in used for gpu in gpus} == {"3", "5"}


@pytest.mark.slow
def test_jobs_share_gpus_where_more_are_to_run_at_once(tmp_path: Path) -> None:
    arguments = (
        "repetition=range(3)", "hydra.launcher.gpus=[3,GPU-5]", "hydra.launcher.at_once=3",
        "trainer.device=cpu",
    )  # fmt: skip
    status, out = ended(start(tmp_path, *arguments))
    assert status == 0
    assert "3 at once on this machine, up to 2 per GPU, in whose memory they must fit" in out
    logs = [p.read_text() for p in (tmp_path / "state").glob("dacapo/jobs/*/*.out")]
    used = sorted(gpu for log in logs for gpu in re.findall(r"GPUs: (.*)", log))
    assert used == ["3", "3", "GPU-5"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["hydra.launcher.time=soon"], "hydra.launcher.time=soon: give minutes"),
        (["hydra.launcher.at_once=0"], "hydra.launcher.at_once=0 must be at least 1"),
        (["hydra.launcher.gpus=[0,-1]"], "hydra.launcher.gpus: -1 must be the number of a GPU"),
        (["hydra.launcher.at_one=2"], "at_one"),
        (["repetition=0,0"], "no job was started: jobs 0, 1 have the same folder, a/0"),
        (["trainer.batch_size=1,0"], r"job 1 \(.*\): trainer.batch_size=0 must be at least 1"),
        (["num_iterations=6,9"], r"jobs 0, 1 have the same folder"),
    ],
)
def test_nothing_is_started_when_one_job_is_wrong(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    given = arguments if "repetition=0,0" in arguments else [*arguments, "repetition=0"]
    status, out = ended(start(tmp_path, *given))
    assert status == 1
    assert re.search(message, out), out
    assert "Traceback" not in out
    assert not list(tmp_path.glob("runs/a/*/log-*"))


def test_gpus_to_share_out(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _gpus(["1", "2"]) == ["1", "2"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    assert _gpus(None) == ["4", "7"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert _gpus(None) == []
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-1234, MIG-5678")
    assert _gpus(None) == ["GPU-1234", "MIG-5678"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert _gpus(None) == []


@pytest.mark.long
def test_many_runs_under_random_kills(tmp_path: Path, rng: np.random.Generator) -> None:
    """Every 10 seconds a worker is killed, and the command repeated until all is done; undisturbed
    runs give the same scores."""
    num_runs, seconds = 40, 180
    settings = (
        "num_iterations=30", "validation_interval=15", "trainer.checkpoint_interval=5",
        "architecture.num_fmaps=2", "name=a",
    )  # fmt: skip
    launcher = "hydra.launcher.at_once=4", "hydra.launcher.check_data=false"
    arguments = (*settings, *launcher, f"repetition=range({num_runs})", "trainer.pause=0.15")
    storm, calm = tmp_path / "storm", tmp_path / "calm"
    storm.mkdir()
    kills, commands, begin = 0, 0, time.monotonic()
    last = begin
    while True:
        process = start(storm, *arguments)
        commands += 1
        while process.poll() is None:
            time.sleep(0.2)
            now = time.monotonic()
            if now - last < 10 or now - begin > seconds:
                continue
            running = [r.run for r in states(storm).values() if r.state == "running"]
            if running:
                kill(RunFolder(storm / "runs" / rng.choice(running)))
                kills, last = kills + 1, now
        status, out = ended(process)
        if status == 0:
            break
        assert commands < 30, out
    print(f"{kills} kills, {commands} commands, {time.monotonic() - begin:.0f} s")
    assert kills >= 10
    assert commands >= 2
    for repetition in range(num_runs):
        train(small_run_config(*settings, f"repetition={repetition}"), calm)
        one, other = (
            RunFolder(runs_dir / "a" / str(repetition)).read_history()
            for runs_dir in (calm, storm / "runs")
        )
        assert one.is_done
        assert other.is_done
        assert one.iterations == other.iterations
        assert np.array_equal(one.values(), other.values(), equal_nan=True)
        assert (one.steps[:, 0] == other.steps[:, 0]).all()
