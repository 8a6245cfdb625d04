"""The jobs of a sweep in processes of their own, on this machine or on a SLURM cluster.

All jobs are checked before the first one starts. What came of a job is what the folder of its run
tells, so a job that is lost without a word becomes a failed one, and the others go on.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, filter_overrides
from omegaconf.errors import OmegaConfBaseException

from dacapo.errors import InputError
from dacapo.experiments.datasplits import DataSplitConfig
from dacapo.experiments.run_config import RunConfig
from dacapo.runs import RunFolder, Submission, read_state
from dacapo.sweeps import sweep
from dacapo.sweeps.plan import RunRequest, folder_of, plan_run

if TYPE_CHECKING:
    from hydra_plugins.dacapo_launcher import _Launcher

_LOOK = 0.5
"""Seconds between two looks at the jobs."""


class LostJobError(InputError):
    """A run of a sweep has not come to its end."""


@dataclass(frozen=True)
class Job:
    """One job of a sweep.

    Attributes:
        number: in the sweep.
        overrides: as Hydra gives them to the job.
        run_config, request, folder: the run that it trains.
        writers: how many had worked on it when it was found that there is something to do.
    """

    number: int
    overrides: Sequence[str]
    run_config: RunConfig
    request: RunRequest
    folder: RunFolder
    writers: int = 0

    def __str__(self) -> str:
        return f"job {self.number} ({self.folder.label})"


class Pool(ABC):
    """Where jobs run."""

    @abstractmethod
    def start(self, jobs: Sequence[Job]) -> None:
        """Take all jobs, and note in the folders of their runs that they wait."""

    @abstractmethod
    def ended(self) -> list[tuple[Job, str]]:
        """Jobs that have ended since the last look, each with what the pool knows of its end."""

    @abstractmethod
    def interrupted(self) -> None:
        """Ctrl-C: stop the jobs, or say how to go on with them."""

    def arguments(self, job: Job) -> tuple[Any, ...]:
        """What the launcher is called with in the job's process."""
        name = f"job_id_for_{job.number}"
        return (list(job.overrides), "hydra.sweep.dir", job.number, name, Singleton.get_state())


def launch(
    launcher: _Launcher, job_overrides: Sequence[Sequence[str]], first: int
) -> Sequence[JobReturn]:
    """Check all jobs, run those that are not finished, and tell what became of each.

    Raises:
        InputError: a job is not as it should be; none has started.
    """
    jobs = _check(launcher, job_overrides, first)
    returns: dict[int, JobReturn] = {}
    to_run = []
    for job in jobs:
        sweep.add(job.folder)
        plan = plan_run(job.folder, job.run_config, job.request)
        if plan.action == "train":
            to_run.append(replace(job, writers=len(plan.history.outcomes)))
            continue
        print(plan.text, flush=True)
        returns[job.number] = _return(job, plan.text if plan.action == "failed" else "")
    print(f"{len(jobs)} jobs, {len(to_run)} to run", flush=True)
    if launcher.params["check_data"]:
        _open_data(to_run)
    # Jobs find the modules that the script of the sweep has found beside it.
    os.environ["PYTHONPATH"] = os.pathsep.join(
        part for part in (sys.path[0], os.environ.get("PYTHONPATH", "")) if part
    )
    if to_run:
        pool = _pool(launcher)
        pool.start(to_run)
        if launcher.params.get("wait", True):
            returns |= _wait(pool, to_run)
        else:
            sweep.leave()
            returns |= {job.number: _return(job, "") for job in to_run}
            pool.interrupted()
    return [returns[job.number] for job in jobs]


def _pool(launcher: _Launcher) -> Pool:
    if launcher._EXECUTOR == "slurm":
        from dacapo.launching.slurm import SlurmPool

        return SlurmPool(launcher)
    from dacapo.launching.local import LocalPool

    return LocalPool(launcher)


def _check(launcher: _Launcher, job_overrides: Sequence[Sequence[str]], first: int) -> list[Job]:
    """Compose every job.

    Raises:
        InputError: a value is missing or wrong, or two jobs have one folder; all of them are named.
    """
    jobs, wrong = [], []
    for number, overrides in enumerate(job_overrides, first):
        try:
            jobs.append(_compose(launcher, number, overrides))
        except (InputError, OmegaConfBaseException) as error:
            wrong.append(f"job {number} ({' '.join(filter_overrides(overrides))}): {error}")
    folders = Counter(job.folder.label for job in jobs)
    for label, count in folders.items():
        if count > 1:
            numbers = ", ".join(str(j.number) for j in jobs if j.folder.label == label)
            wrong.append(f"jobs {numbers} have one folder, {label}: give each another name=")
    if wrong:
        raise InputError("no job was started: " + "\n  ".join(wrong))
    return jobs


def _compose(launcher: _Launcher, number: int, overrides: Sequence[str]) -> Job:
    assert launcher.hydra_context is not None
    cfg = launcher.hydra_context.config_loader.load_sweep_config(launcher.config, list(overrides))
    hydra_config = cfg.hydra
    plain = cfg.copy()
    plain._set_flag("struct", False)
    del plain["hydra"]
    run_config, request = sweep.read_request(plain, hydra_config)
    folder = folder_of(run_config, Path(str(plain.runs_dir)))
    folder.check_identity(request.document(run_config))
    return Job(number, overrides, run_config, request, folder)


def _open_data(jobs: Sequence[Job]) -> None:
    """Build each data split once.

    Raises:
        InputError: one does not open.
    """
    from dacapo.config import encode

    splits: dict[str, tuple[Job, DataSplitConfig]] = {}
    for job in jobs:
        split = job.run_config.datasplit_config
        splits.setdefault(json.dumps(encode(split), sort_keys=True), (job, split))
    for job, split in splits.values():
        try:
            split.build()
        except InputError as error:
            raise InputError(f"no job was started: {job}: {error}") from error


def _wait(pool: Pool, jobs: Sequence[Job]) -> dict[int, JobReturn]:
    """Until all jobs have ended."""
    returns: dict[int, JobReturn] = {}
    # A terminal that is closed, or a `kill`, is as good as Ctrl-C.
    previous = {
        number: signal.signal(number, signal.default_int_handler)
        for number in (signal.SIGTERM, signal.SIGHUP)
    }
    try:
        while len(returns) < len(jobs):
            for job, how in pool.ended():
                failure = _outcome(job, how)
                left = len(jobs) - len(returns) - 1
                print(f"{job}: {failure or 'done'}; {left} to go", flush=True)
                returns[job.number] = _return(job, failure)
            time.sleep(_LOOK)
    except BaseException:
        pool.interrupted()
        raise
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    return returns


def _outcome(job: Job, how: str) -> str:
    """What failed, by the folder of the run; empty when nothing did."""
    state = read_state(job.folder)
    if state.name in ("done", "stopped", "running"):
        return ""  # in the last case, somebody else was faster and trains it
    if state.name == "failed":
        return state.error
    if state.name == "interrupted":
        return f"interrupted: {how}"
    submission = job.folder.read_submission()
    # Another sweep may have taken the run over since.
    if submission is not None and submission.launcher.pid == os.getpid():
        job.folder.mark_lost(submission, how)
    return f"killed: {how}"


def _return(job: Job, failure: str) -> JobReturn:
    value: Any = sweep.value_of(job.folder.read_history(), job.run_config)
    status = JobStatus.COMPLETED
    if failure:
        value, status = LostJobError("a job has failed, see above"), JobStatus.FAILED
    done = JobReturn(overrides=job.overrides, status=status)
    done.return_value = value
    return done


def note(job: Job, job_id: str = "", log: Path | str = "") -> None:
    """Write into the folder of a run that it waits for a job."""
    document = job.request.document(job.run_config)
    job.folder.submit(document, Submission(job.writers, job_id, str(log)))


def minutes(text: str, default: int, signal_delay: int) -> int:
    """A time limit in whole minutes.

    Raises:
        InputError: it is none, or too short for a signal that long before it.

    >>> minutes("90", 0, 120), minutes("1-02:00:30", 0, 120), minutes("", 7, 120)
    (90, 1561, 7)
    """
    found = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", text) if text else None
    if text and found is None:
        raise InputError(
            f"hydra.launcher.time={text}: give minutes, or [days-]hours:minutes:seconds"
        )
    if found is None:
        total = default
    else:
        days, first, second, third = (int(part or 0) for part in found.groups())
        is_minutes = found[1] is None and found[3] is None
        hours, rest, seconds = (0, first, 0) if is_minutes else (first, second, third)
        total = (days * 24 + hours) * 60 + rest + (seconds > 0)
    if total * 60 <= signal_delay:
        raise InputError(
            f"hydra.launcher.time={text}: must be longer than hydra.launcher.signal_delay="
            f"{signal_delay} seconds"
        )
    return total
