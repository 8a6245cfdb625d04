"""Runs the jobs of a sweep in their own processes, on this machine or on a SLURM cluster.

All jobs are checked before the first one starts. The outcome of a job is read from the folder of
its run, so a job that ends without reporting counts as failed, and the others continue.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.utils import JobReturn, JobStatus, filter_overrides
from omegaconf.errors import OmegaConfBaseException

from dacapo.config import encode
from dacapo.errors import InputError, printable
from dacapo.experiments.preflight import preflight
from dacapo.experiments.run_config import RunConfig
from dacapo.launching.pool import Job, Pool
from dacapo.runs import RunFolder, Submission, launcher_beat, read_state
from dacapo.sweeps import sweep
from dacapo.sweeps.disk import check_disk
from dacapo.sweeps.job import job_text, run_text
from dacapo.sweeps.plan import RunRequest, plan_run, run_folder

if TYPE_CHECKING:
    from hydra_plugins.dacapo_launcher import _Launcher

_POLL_INTERVAL = 0.5
"""Seconds between checks of the jobs."""


class LostJobError(InputError):
    """A run of a sweep has not finished."""


@dataclass
class _RunJob:
    """A job and the run that it trains.

    Attributes:
        writers: number of processes that had worked on the run when the sweep was planned.
    """

    job: Job
    run_config: RunConfig
    request: RunRequest
    folder: RunFolder
    writers: int = 0


class _Notes:
    """Notes in the folders of runs what the pool reports about their jobs."""

    def __init__(self, run_jobs: Sequence[_RunJob], beat: str) -> None:
        self._by_number = {r.job.number: r for r in run_jobs}
        self._beat = beat

    def submitted(self, job: Job, job_id: str = "", log: Path | str = "") -> None:
        run_job = self._by_number[job.number]
        document = run_job.request.document(run_job.run_config)
        submission = Submission(run_job.writers, job_id, str(log), beat=self._beat)
        run_job.folder.submit(document, submission)

    def not_needed(self, job: Job) -> str:
        run_job = self._by_number[job.number]
        plan = plan_run(run_job.folder, run_job.run_config, run_job.request)
        run_job.writers = run_job.folder.num_writers()
        return "" if plan.action in ("train", "waiting") else plan.text


def launch(
    launcher: _Launcher, job_overrides: Sequence[Sequence[str]], first: int
) -> Sequence[JobReturn]:
    """Check all jobs, run those that are not finished, and report what became of each.

    Raises:
        InputError: a job is not valid; none has started.
    """
    run_jobs = _compose_all(launcher, job_overrides, first)
    returns: dict[int, JobReturn] = {}
    to_run = []
    for run_job in run_jobs:
        sweep.add(run_job.folder)
        plan = plan_run(run_job.folder, run_job.run_config, run_job.request)
        if plan.action == "train":
            run_job.writers = run_job.folder.num_writers()
            to_run.append(run_job)
            continue
        print(printable(plan.text), flush=True)
        failure = plan.text if plan.action == "failed" else ""
        returns[run_job.job.number] = _return(run_job, failure)
    print(f"{len(run_jobs)} jobs, {len(to_run)} to run", flush=True)
    if launcher.params["check_data"] and to_run:
        print(_check_needs(to_run), flush=True)
    # Jobs must find modules next to the script of the sweep.
    os.environ["PYTHONPATH"] = os.pathsep.join(
        part for part in (sys.path[0], os.environ.get("PYTHONPATH", "")) if part
    )
    if to_run:
        with launcher_beat(to_run[0].folder.path.parent.parent) as beat:
            sweep.begin()
            pool = _pool(launcher)(launcher.params, _Notes(to_run, beat), run_text)
            returns |= _run_all(pool, to_run, launcher.params.get("wait", True))
    return [returns[run_job.job.number] for run_job in run_jobs]


def _pool(launcher: _Launcher) -> type[Pool]:
    if launcher._EXECUTOR == "slurm":
        from dacapo.launching.slurm import SlurmPool

        return SlurmPool
    from dacapo.launching.local import LocalPool

    return LocalPool


def _compose_all(
    launcher: _Launcher, job_overrides: Sequence[Sequence[str]], first: int
) -> list[_RunJob]:
    """Compose every job.

    Raises:
        InputError: a value is missing or wrong, or two jobs have one folder; all such jobs are
            named.
    """
    run_jobs, wrong = [], []
    for number, overrides in enumerate(job_overrides, first):
        try:
            run_jobs.append(_compose(launcher, number, overrides))
        except (InputError, OmegaConfBaseException) as error:
            wrong.append(f"job {number} ({' '.join(filter_overrides(overrides))}): {error}")
    folders = Counter(r.folder.label for r in run_jobs)
    for label, count in folders.items():
        if count > 1:
            numbers = ", ".join(str(r.job.number) for r in run_jobs if r.folder.label == label)
            wrong.append(f"jobs {numbers} have the same folder, {label}: give each its own name=")
    if wrong:
        raise InputError("no job was started: " + "\n  ".join(wrong))
    return run_jobs


def _compose(launcher: _Launcher, number: int, overrides: Sequence[str]) -> _RunJob:
    assert launcher.hydra_context is not None
    cfg = launcher.hydra_context.config_loader.load_sweep_config(launcher.config, list(overrides))
    hydra_config = cfg.hydra
    plain = cfg.copy()
    plain._set_flag("struct", False)
    del plain["hydra"]
    run_config, request = sweep.read_request(plain, hydra_config)
    runs_dir = Path(str(plain.runs_dir))
    folder = run_folder(run_config, runs_dir)
    folder.check_identity(request.document(run_config))
    text = job_text(run_config, runs_dir, request, number, hydra_config.job.env_set)
    return _RunJob(Job(number, overrides, folder.label, text), run_config, request, folder)


def _check_needs(run_jobs: Sequence[_RunJob]) -> str:
    """Build each data split and each network once, and see whether the disk is large enough.

    Returns:
        A line about the disk.

    Raises:
        InputError: a data split cannot be opened, or the disk is too small.
    """
    num_volumes: dict[str, int] = {}
    runs = []
    for run_job in run_jobs:
        parts = run_job.run_config.datasplit_config, run_job.run_config.task_config
        key = json.dumps([encode(part) for part in parts], sort_keys=True)
        try:
            if key not in num_volumes:
                num_volumes[key] = len(preflight(run_job.run_config).validate)
        except InputError as error:
            raise InputError(f"no job was started: {run_job.job}: {error}") from error
        runs.append((run_job.run_config, num_volumes[key]))
    return check_disk(runs, run_jobs[0].folder.path.parent.parent)


def _check_micro_batches(pool: Pool, run_jobs: Sequence[_RunJob]) -> None:
    world = pool.num_processes
    for run_job in run_jobs:
        micro = run_job.run_config.trainer_config.micro_batches
        if micro % max(1, world):
            raise InputError(
                f"no job was started: {run_job.job}: trainer.micro_batches={micro} cannot be "
                f"shared by {world} processes: give a multiple of {world}"
            )


def _run_all(pool: Pool, run_jobs: Sequence[_RunJob], wait: bool) -> dict[int, JobReturn]:
    """Start the jobs, and wait until all have ended unless the pool is detached."""
    _check_micro_batches(pool, run_jobs)
    pool.start([run_job.job for run_job in run_jobs])
    if wait:
        return _wait(pool, run_jobs)
    _leave(pool.stop_or_leave())
    return {run_job.job.number: _return(run_job, "") for run_job in run_jobs}


def _wait(pool: Pool, run_jobs: Sequence[_RunJob]) -> dict[int, JobReturn]:
    returns: dict[int, JobReturn] = {}
    by_number = {r.job.number: r for r in run_jobs}
    # A closed terminal or a `kill` is treated like Ctrl-C.
    previous = {
        number: signal.signal(number, signal.default_int_handler)
        for number in (signal.SIGTERM, signal.SIGHUP)
    }
    try:
        while len(returns) < len(run_jobs):
            for job, how in pool.ended():
                failure = _outcome(by_number[job.number], how)
                left = len(run_jobs) - len(returns) - 1
                print(printable(f"{job}: {failure or 'done'}; {left} to go"), flush=True)
                returns[job.number] = _return(by_number[job.number], failure)
            time.sleep(_POLL_INTERVAL)
    except BaseException:
        _leave(pool.stop_or_leave())
        raise
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    return returns


def _leave(cancel: str) -> None:
    """Report how to follow, collect and cancel jobs that continue without this process."""
    if cancel:
        runs_dir = sweep.detach()
        print(
            f"the jobs continue in the cluster\n"
            f"  watch:   python -m dacapo.status runs_dir={runs_dir} watch=true\n"
            f"  collect: python -m dacapo.compare runs_dir={runs_dir}\n"
            f"  cancel:  {cancel}",
            flush=True,
        )


def _outcome(run_job: _RunJob, how: str) -> str:
    """Why the job failed, according to the run's folder; empty if it did not."""
    state = read_state(run_job.folder)
    if state.name in ("done", "stopped", "running"):
        return ""  # in the last case, another process is training it
    if state.name in ("failed", "refused"):
        return state.error
    if state.name == "interrupted":
        return f"interrupted: {how}"
    submission = run_job.folder.read_submission()
    # Another sweep may have taken over the run since.
    launcher = None if submission is None else submission.launcher
    is_ours = launcher is not None and launcher.pid == os.getpid() and launcher.is_alive()
    if submission is not None and is_ours:
        run_job.folder.mark_lost(submission, how)
    return f"killed: {how}"


def _return(run_job: _RunJob, failure: str) -> JobReturn:
    value: Any = sweep.objective(run_job.folder.read_history(), run_job.run_config)
    status = JobStatus.COMPLETED
    if failure:
        value, status = LostJobError("a job has failed, see above"), JobStatus.FAILED
    result = JobReturn(overrides=run_job.job.overrides, status=status)
    result.return_value = value
    return result
