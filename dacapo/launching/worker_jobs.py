"""Jobs of a SLURM cluster that work on the blocks of one command."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dacapo.errors import InputError
from dacapo.launching.private import make_private
from dacapo.launching.slurm import executor, why_gone
from dacapo.processes.queue import is_queued

if TYPE_CHECKING:
    from submitit import Job

_POLL = 1.0
_GRACE = 10.0
"""Seconds after the last block for which a job may still report and end by itself."""
_SURE = 6.0
"""Seconds for which a job must be missing from the queue before it counts as gone."""


@dataclass(frozen=True)
class WorkerJobs:
    """Runs functions as jobs, for processes that wait for them.

    Attributes:
        params: the options of `SlurmConfig`.
        folder: for what the jobs are sent and for their logs; see `make_private`.
    """

    params: Mapping[str, Any]
    folder: Path

    def send(self, function: Callable[[], object]) -> Path:
        """Write a function where jobs find it."""
        from submitit.core.utils import DelayedSubmission

        path = self.folder / f"{secrets.token_hex(4)}.function"
        DelayedSubmission(function).dump(path)
        return path

    def run(self, sent: Path, environment: Mapping[str, str], is_over: Callable[[], bool]) -> None:
        """Submit a job, and wait until it has ended.

        Another one is submitted if it is cancelled, preempted or reaches its time limit. It is
        cancelled if this process is stopped or loses its parent, or if there is nothing left to do.

        Args:
            sent: see `send`.
            environment: variables that the job gets.
            is_over: whether all that jobs are for is done; then one that still waits is not needed.

        Raises:
            RuntimeError: the function has failed, or jobs ended too often.
        """
        parent = os.getppid()
        for _ in range(int(self.params["max_timeouts"]) + 1):
            job = executor(self.folder, self.params).submit(_call, sent, dict(environment))
            over_since: float | None = None
            try:
                while not (ended := _has_ended(job)) and os.getppid() == parent:
                    time.sleep(_POLL)
                    over_since = (over_since or time.monotonic()) if is_over() else None
                    if over_since is not None and time.monotonic() - over_since > _GRACE:
                        break
            finally:
                _cancel([job.job_id])
            if not ended or job.paths.result_pickle.exists():
                break
            reason = why_gone([job.job_id])[job.job_id]
            print(f"{reason}; another one is submitted", flush=True)
        else:
            raise RuntimeError(f"{reason}, and so did the others before it")
        if ended and (error := job.exception()) is not None:
            raise RuntimeError(f"SLURM's job {job.job_id} failed:\n{error}")

    def cancel(self) -> None:
        """Cancel all jobs that are still there."""
        _cancel([path.name for path in self.folder.iterdir() if path.name.isdigit()])


def _has_ended(job: Job[Any]) -> bool:
    """Whether a job has a result, or has left the queue without one."""
    begin = time.monotonic()
    while not job.paths.result_pickle.exists():
        if is_queued(job.job_id) is not False:
            return False
        if time.monotonic() - begin > _SURE:
            return True
        time.sleep(_POLL)
    return True


def open_worker_jobs(preset: str, given: Mapping[str, Any]) -> WorkerJobs:
    """Jobs with the options of a launcher.

    Args:
        preset: a choice of `hydra/launcher`, or a yaml file like those.
        given: options that override it.

    Raises:
        InputError: there is no such preset or option, or no SLURM.
    """
    params = _compose(preset, given)
    if params["nodes"] != 1 or params["processes"] != 1:
        raise InputError(
            f"launcher.nodes={params['nodes']}, processes={params['processes']}: a worker is one "
            f"process; num_workers sets their number"
        )
    try:
        folder = make_private(params["folder"])
        _check_accepted(folder, params)
    except RuntimeError as error:
        raise InputError(f"workers={preset}: {error}") from error
    except InputError as error:
        raise InputError(str(error).replace("hydra.launcher", "launcher")) from error
    return WorkerJobs(params, folder)


def _check_accepted(folder: Path, params: Mapping[str, Any]) -> None:
    """Ask SLURM whether it would accept a job, without submitting it.

    Raises:
        RuntimeError: it would not.
    """
    script = folder / "test.sh"
    script.write_text(executor(folder, params)._make_submission_file_text("true", "test"))
    done = subprocess.run(
        ["sbatch", "--test-only", str(script)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"sbatch: exit status {done.returncode}"]
        raise RuntimeError(lines[-1].removeprefix("sbatch: error: "))


def _compose(preset: str, given: Mapping[str, Any]) -> Mapping[str, Any]:
    from hydra import compose, initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    import dacapo.launching.config  # noqa: F401 (offers the keys to Hydra)
    from dacapo.config import conf_dir
    from dacapo.launching.config import SlurmConfig

    path = Path(preset)
    is_file = path.suffix == ".yaml"
    if is_file and not path.is_file():
        raise InputError(f"workers={preset}: there is no such file")
    if is_file and path.resolve().parent.parts[-2:] != ("hydra", "launcher"):
        raise InputError(f"workers={preset}: put the file into a folder hydra/launcher")
    # Of a file, the folder that holds hydra/launcher/NAME.yaml.
    folder = [f"hydra.searchpath=[file://{path.resolve().parents[2]}]"] if is_file else []
    try:
        with initialize_config_dir(conf_dir(), version_base="1.3"):
            choice = f"hydra/launcher={path.stem if is_file else preset}"
            whole = compose(overrides=[choice, *folder], return_hydra_config=True)
        found = OmegaConf.merge(whole.hydra.launcher, dict(given))
    except (HydraException, OmegaConfBaseException) as error:
        known = sorted(p.stem for p in (Path(conf_dir()) / "hydra" / "launcher").glob("*.yaml"))
        raise InputError(
            f"workers={preset}, launcher={dict(given)}: {str(error).splitlines()[0]}; workers are "
            f"one of {', '.join([*known, 'slurm'])} or a file of a folder hydra/launcher"
        ) from error
    if not issubclass(OmegaConf.get_type(whole.hydra.launcher) or dict, SlurmConfig):
        raise InputError(
            f"workers={preset} is not a launcher of SLURM; leave it out for processes on this "
            f"machine"
        )
    return OmegaConf.to_container(found, resolve=True)  # type: ignore[return-value]


def _call(sent: Path, environment: Mapping[str, str]) -> None:
    """What a job does, which has looked at the folder; see `private`."""
    from submitit.core.utils import DelayedSubmission

    # The signal before a time limit: another job takes over what is not done by then.
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    os.environ.update(environment)
    DelayedSubmission.load(sent).result()


def _cancel(numbers: list[str]) -> None:
    if numbers:
        subprocess.run(["scancel", *numbers], capture_output=True, timeout=60, check=False)
