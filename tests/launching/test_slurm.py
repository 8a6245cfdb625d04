"""Sweeps on a real SLURM, which the tests start on this machine."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

from dacapo.arrays import open_array
from dacapo.comparison.progress import Progress, read_progress
from dacapo.runs import RunFolder
from dacapo.train import train
from tests.conftest import SMALL_AFFINITIES, small_task_config, write_hdf5
from tests.launching.cluster import NUM_CPUS, Slurm, missing
from tests.slow_trainer import write_script

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def slurm() -> Iterator[Slurm]:
    lacks = missing()
    if lacks:
        pytest.skip(f"needs {', '.join(lacks)} (Debian: slurm-wlm slurmdbd munge mariadb-server)")
    with tempfile.TemporaryDirectory(prefix="slurm") as folder:  # sockets want a short path
        cluster = Slurm(Path(folder))
        try:
            cluster.start()
            with pytest.MonkeyPatch.context() as patch:  # for looks at runs from this process
                patch.setenv("SLURM_CONF", cluster.environment["SLURM_CONF"])
                yield cluster
        finally:
            cluster.stop()


def environment(slurm: Slurm) -> dict[str, str]:
    path = f"{ROOT}:{os.environ.get('PYTHONPATH', '')}"
    return {**slurm.environment, "CI": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": path}


def sweep(slurm: Slurm, cwd: Path, *arguments: str) -> subprocess.Popen[str]:
    """A sweep by the launcher, from a script of somebody's own; its output goes to a file."""
    write_script(cwd)
    own_data = any(a.startswith("datasplit=") for a in arguments)
    small = [a for a in SMALL_AFFINITIES if not (own_data and a.startswith("datasplit."))]
    command = [
        sys.executable, "train.py", "-m", "--config-dir", "conf", "hydra/launcher=slurm_cpu",
        "hydra.launcher.cpus=1", "hydra.launcher.memory=null", "trainer=slow", *small,
        "name=a", *arguments,
    ]  # fmt: skip
    with (cwd / "out.txt").open("w") as out:
        return subprocess.Popen(
            command, cwd=cwd, env=environment(slurm), stdout=out, stderr=out, text=True
        )


def output(cwd: Path) -> str:
    return (cwd / "out.txt").read_text()


def ended(process: subprocess.Popen[str], cwd: Path, seconds: float) -> tuple[int, str]:
    try:
        return process.wait(seconds), output(cwd)
    except subprocess.TimeoutExpired:
        process.kill()
        raise AssertionError(output(cwd)) from None


def runs(cwd: Path) -> dict[str, Progress]:
    there = any(cwd.glob("runs/*/*/config.yaml"))
    return {r.run: r for r in read_progress(cwd / "runs")} if there else {}


def wait_until(cwd: Path, run: str, state: str, seconds: float = 300) -> Progress:
    deadline = time.monotonic() + seconds
    while True:
        found = runs(cwd).get(run)
        if found is not None and found.state == state and (found.iteration or state != "running"):
            return found
        assert time.monotonic() < deadline, (run, state, found)
        time.sleep(0.5)


def submitted_as(cwd: Path, run: str) -> str:
    submission = RunFolder(cwd / "runs" / run).read_submission()
    assert submission is not None
    return submission.job


def test_twelve_jobs_of_which_four_end_badly(slurm: Slurm, tmp_path: Path) -> None:
    """6 and 7 pass their time limit, 2 is cancelled, 3 killed, one preempted, 10 and 11 raise."""
    arguments = (
        "hydra.launcher.time=2", "hydra.launcher.signal_delay=30", "repetition=range(12)",
        "trainer.slow=[6,7]", "trainer.broken=[10,11]", "num_iterations=36",
        "validation_interval=18", "trainer.checkpoint_interval=6",
    )  # fmt: skip
    process = sweep(slurm, tmp_path, *arguments)
    wait_until(tmp_path, "a/2", "running")
    slurm.ask("scancel", submitted_as(tmp_path, "a/2"))
    owner = RunFolder(tmp_path / "runs" / "a" / "3").read_history().owner
    if owner is None or not owner.is_alive():
        wait_until(tmp_path, "a/3", "running")
        owner = RunFolder(tmp_path / "runs" / "a" / "3").read_history().owner
    assert owner is not None
    os.kill(owner.pid, signal.SIGKILL)
    wait_until(tmp_path, "a/5", "running")
    while len(slurm.ask("squeue", "-h", "-r", "-t", "running").splitlines()) < NUM_CPUS:
        time.sleep(0.2)
    high = slurm.ask(
        "sbatch", "-p", "high", "-n1", "--wrap", "sleep 20", "-o", "/dev/null"
    ).split()[-1]

    status, out = ended(process, tmp_path, 900)
    print(out)
    accounting = slurm.ask("sacct", "-D", "-X", "-P", "-o", "JobID,State,ExitCode,Start,End,Submit")
    print(accounting)
    assert status == 1
    found = runs(tmp_path)
    states = {name: run.state for name, run in found.items()}
    good = [f"a/{i}" for i in (0, 1, *range(4, 10))]
    assert [name for name, state in states.items() if state == "done"] == good
    assert states["a/2"] == states["a/3"] == "killed"
    assert "CANCELLED" in found["a/2"].error
    assert "SLURM's job" in found["a/3"].error
    for number in (10, 11):
        assert states[f"a/{number}"] == "failed"
        assert f"failed: a/{number}: RuntimeError: a bug in repetition {number} (log: " in out
    assert "12 runs, 4 failed" in out
    dataset = xr.load_dataset(tmp_path / "runs" / "comparison.nc", engine="h5netcdf")
    last = dataset.voi.sel(iterations=36).notnull().any(["datasets", "parameters"])
    assert dataset["runs"].values[last.values].tolist() == good
    # The two that passed their limit and the preempted one are in the books more than once.
    jobs = [line.split("|")[0] for line in accounting.splitlines()]
    again = {job for job in jobs if jobs.count(job) > 1}
    assert {submitted_as(tmp_path, "a/6"), submitted_as(tmp_path, "a/7")} < again
    # All cores were taken when the one of high priority came; it began when one was requeued.
    books = [line.split("|") for line in accounting.splitlines()]
    submit, start = next((b[5], b[3]) for b in books if b[0] == high)
    assert any(b[1] in ("REQUEUED", "PREEMPTED") and submit <= b[4] <= start for b in books)

    status, out = ended(sweep(slurm, tmp_path, *arguments), tmp_path, 300)
    print(out)
    assert status == 1
    assert "12 jobs, 4 to run" in out
    states = {name: run.state for name, run in runs(tmp_path).items()}
    assert [name for name, state in states.items() if state != "done"] == ["a/10", "a/11"]
    for number in (10, 11):
        assert f"failed: a/{number}: RuntimeError: a bug in repetition {number} (log: " in out

    status, out = ended(sweep(slurm, tmp_path, *arguments), tmp_path, 60)
    assert status == 1
    assert "12 jobs, 0 to run" in out
    assert "a/10: failed twice in the same way: RuntimeError: a bug in repetition 10" in out


def test_two_commands_at_once_train_each_run_once(slurm: Slurm, tmp_path: Path) -> None:
    arguments = ("hydra.launcher.time=5", "repetition=range(3)", "trainer.pause=0.2")
    first = sweep(slurm, tmp_path, *arguments)
    other = tmp_path / "other"
    other.mkdir()
    second = sweep(slurm, other, *arguments, f"runs_dir={tmp_path / 'runs'}")
    assert ended(first, tmp_path, 200)[0] == 0
    assert ended(second, other, 200)[0] == 0
    for repetition in range(3):
        folder = RunFolder(tmp_path / "runs" / "a" / str(repetition))
        history = folder.read_history()
        assert history.is_done
        assert folder.num_writers() == 1


def test_ctrl_c_leaves_the_jobs_and_says_how_to_go_on(slurm: Slurm, tmp_path: Path) -> None:
    process = sweep(slurm, tmp_path, "hydra.launcher.time=5", "repetition=0,1")
    wait_until(tmp_path, "a/0", "running")
    process.send_signal(signal.SIGINT)
    status, out = ended(process, tmp_path, 30)
    assert status == 130
    job = submitted_as(tmp_path, "a/0").partition("_")[0]
    assert f"scancel {job}" in out
    assert "python -m dacapo.status runs_dir=runs watch=true" in out
    assert "Traceback" not in out
    assert runs(tmp_path)["a/0"].state == "running"
    # The same command, given while they run, leaves them alone.
    status, out = ended(sweep(slurm, tmp_path, "repetition=0,1"), tmp_path, 60)
    assert "2 jobs, 0 to run" in out
    for run in ("a/0", "a/1"):
        wait_until(tmp_path, run, "done")


def test_submit_and_return(slurm: Slurm, tmp_path: Path) -> None:
    """Four jobs at once: the fifth waits, is cancelled there, and no longer counts as waiting."""
    arguments = ("hydra.launcher.time=5", "repetition=range(5)", "hydra.launcher.at_once=4")
    process = sweep(slurm, tmp_path, *arguments, "hydra.launcher.wait=false")
    status, out = ended(process, tmp_path, 60)
    assert status == 0
    assert "python -m dacapo.compare runs_dir=runs" in out
    waiting = runs(tmp_path)["a/4"]
    assert waiting.state == "waiting"
    assert waiting.who == f"job {submitted_as(tmp_path, 'a/4')}"
    slurm.ask("scancel", submitted_as(tmp_path, "a/4"))
    found = wait_until(tmp_path, "a/4", "killed", 30)
    assert "has ended before it started the run" in found.error
    for number in range(4):
        wait_until(tmp_path, f"a/{number}", "done")


def test_a_run_of_three_time_limits_is_equal_to_one_of_none(slurm: Slurm, tmp_path: Path) -> None:
    """Signalled after 80 s, or up to a minute earlier; the pauses alone take 5 minutes."""
    arguments = ("repetition=0", "num_iterations=60", "validation_interval=20")
    process = sweep(
        slurm, tmp_path, *arguments, "trainer.pause=5",
        "hydra.launcher.time=3", "hydra.launcher.signal_delay=100",
    )  # fmt: skip
    alone = tmp_path / "alone"
    alone.mkdir()
    single = sweep(slurm, alone, *arguments, "trainer.pause=0")
    for started, folder in ((single, alone), (process, tmp_path)):
        status, out = ended(started, folder, 900)
        assert status == 0, out
    limited, whole = (RunFolder(f / "runs" / "a" / "0") for f in (tmp_path, alone))
    history = limited.read_history()
    assert [o["status"] for o in history.outcomes].count("preempted") >= 3
    assert (history.steps[:, 0] == whole.read_history().steps[:, 0]).all()
    assert history.scores == whole.read_history().scores
    ours, theirs = limited.read_checkpoint(60), whole.read_checkpoint(60)
    assert all(torch.equal(ours[k], theirs[k]) for k in theirs)


def test_two_processes_of_a_job_are_preempted_and_end_equal_to_one(
    slurm: Slurm, tmp_path: Path
) -> None:
    arguments = (
        "hydra.launcher.time=5", "repetition=0", "trainer.batch_size=2",
        "trainer.micro_batches=2", "num_iterations=12", "validation_interval=6",
    )  # fmt: skip
    process = sweep(slurm, tmp_path, *arguments, "hydra.launcher.processes=2")
    wait_until(tmp_path, "a/0", "running")
    slurm.ask("scancel", "--signal=USR2", submitted_as(tmp_path, "a/0"))
    alone = tmp_path / "alone"
    alone.mkdir()
    single = sweep(slurm, alone, *arguments)
    for started, folder in ((process, tmp_path), (single, alone)):
        status, out = ended(started, folder, 200)
        assert status == 0, out
    both, one = (RunFolder(f / "runs" / "a" / "0") for f in (tmp_path, alone))
    assert both.num_writers() == 2
    assert both.read_history().outcomes[0]["status"] == "preempted"
    losses = [f.read_history().steps[:, 0].tolist() for f in (both, one)]
    assert losses[0] == losses[1]
    states = [f.read_checkpoint(12) for f in (both, one)]
    assert all(torch.equal(v, states[1][k]) for k, v in states[0].items())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["hydra.launcher.processes=2"], "micro_batches=1 cannot be shared by 2 processes"),
        (["hydra.launcher.partition=nope"], "no job was started: .*[Ii]nvalid partition"),
        (["hydra.launcher.time=soon"], "hydra.launcher.time=soon: give minutes"),
        (["repetition=0,0"], "jobs 0, 1 have the same folder, a/0"),
        (["trainer.batch_size=1,0"], r"job 1 .*trainer.batch_size=0 must be at least 1"),
        (["datasplit=volumes", "datasplit.train={a: {raw: x.h5:r, gt: x.h5:l}}",
          "datasplit.validate={b: {raw: y.h5:r, gt: y.h5:l}}"], "no job was started.*x.h5"),
    ],
)  # fmt: skip
def test_nothing_is_submitted_when_one_job_is_wrong(
    slurm: Slurm, tmp_path: Path, arguments: list[str], message: str
) -> None:
    before = slurm.ask("sacct", "-n", "-X", "-o", "JobID")
    given = arguments if any("repetition" in a for a in arguments) else [*arguments, "repetition=0"]
    status, out = ended(sweep(slurm, tmp_path, *given), tmp_path, 60)
    assert status == 1
    assert re.search(message, out, re.DOTALL), out
    assert "Traceback" not in out
    assert not (tmp_path / "runs" / "a").exists()
    assert slurm.ask("sacct", "-n", "-X", "-o", "JobID") == before


def segment(slurm: Slurm, cwd: Path, *arguments: str) -> subprocess.Popen[str]:
    """A segmentation of `raw.h5` by jobs of one core each."""
    command = [
        sys.executable, "-m", "dacapo.segment", "run=a/0", "input=raw.h5:raw", "chunk=16",
        "block=16", "halo=4", "dtype=float32", "parameters={bias: 0.5, long_bias: 0.5}",
        "output=s.ome.zarr", *arguments,
    ]  # fmt: skip
    with (cwd / "out.txt").open("w") as out:
        return subprocess.Popen(
            command, cwd=cwd, env=environment(slurm), stdout=out, stderr=out, text=True
        )


JOBS = ("num_workers=3", "workers=slurm_cpu", "launcher={cpus: 1, memory: null, time: 10}")


def blocks_done(cwd: Path) -> int:
    files = cwd.glob(".s.ome.zarr.*.unfinished/.work/blocks.*.txt")
    return sum(file.read_text().count(";") for file in files)


def running(slurm: Slurm) -> list[str]:
    return slurm.ask("squeue", "-h", "-t", "R", "-o", "%i").split()


def until(ready: Callable[[], object], cwd: Path, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline, output(cwd)
        time.sleep(0.2)


def test_jobs_share_the_blocks_of_a_command(slurm: Slurm, tmp_path: Path) -> None:
    """One is cancelled, then the command is interrupted; it resumes to what one process makes."""
    train(small_task_config("affinities", "name=a"), tmp_path / "runs")
    raw = np.random.default_rng(0).integers(0, 255, (160, 96, 96), np.uint8)
    write_hdf5(tmp_path / "raw.h5", {"raw": raw}, voxel_size=[8, 8, 8], units="nm")
    process = segment(slurm, tmp_path, *JOBS)
    until(lambda: len(running(slurm)) == 3 and blocks_done(tmp_path), tmp_path)
    (cancelled, *others) = running(slurm)
    slurm.ask("scancel", cancelled)
    until(lambda: set(running(slurm)) - {cancelled, *others}, tmp_path)
    before = blocks_done(tmp_path)
    process.send_signal(signal.SIGINT)
    status, out = ended(process, tmp_path, 60)
    assert status == 130
    assert "rerun the same command to resume" in out
    assert "Traceback" not in out, out
    until(lambda: not slurm.ask("squeue", "-h").split(), tmp_path, 30)
    assert before
    status, out = ended(segment(slurm, tmp_path, *JOBS), tmp_path, 300)
    assert status == 0, out
    assert not slurm.ask("squeue", "-h").split()
    status, out = ended(segment(slurm, tmp_path, "output=alone.ome.zarr"), tmp_path, 300)
    assert status == 0, out
    ours, alone = (open_array(str(tmp_path / f"{n}.ome.zarr")) for n in ("s", "alone"))
    assert np.array_equal(ours.read(ours.roi), alone.read(alone.roi))
    assert ours.read(ours.roi).max() > 10
    assert not list(tmp_path.glob(".*unfinished"))


def test_workers_that_cannot_be_started(slurm: Slurm, tmp_path: Path) -> None:
    train(small_task_config("affinities", "name=a"), tmp_path / "runs")
    raw = {"raw": np.zeros((16,) * 3, np.uint8)}
    write_hdf5(tmp_path / "raw.h5", raw, voxel_size=[8, 8, 8], units="nm")
    wrong = {
        "launcher={partition: nowhere}": "Invalid partition name specified",
        "launcher={partitio: main}": "Key 'partitio' not in 'SlurmConfig'",
        "workers=slurm_gpx": "Could not find 'hydra/launcher/slurm_gpx'",
        "launcher={time: soon}": "launcher.time=soon: give minutes",
    }
    for argument, message in wrong.items():
        arguments = [*JOBS[:2], argument]
        status, out = ended(segment(slurm, tmp_path, *arguments), tmp_path, 90)
        assert status == 1, out
        assert message in out
        assert "Traceback" not in out
