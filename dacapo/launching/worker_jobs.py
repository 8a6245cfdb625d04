"""Jobs of a SLURM cluster that work on the blocks of one command."""

from __future__ import annotations

import os
import secrets
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dacapo.errors import InputError
from dacapo.launching.private import make_private
from dacapo.launching.slurm import executor, why_gone
from dacapo.processes.queue import is_queued

_POLL = 1.0
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

    @property
    def max_restarts(self) -> int:
        """How often a job may be started again after its time limit or a preemption."""
        return int(self.params["max_timeouts"])

    def send(self, function: Callable[[], object]) -> Path:
        """Write a function where jobs find it."""
        from submitit.core.utils import DelayedSubmission

        path = self.folder / f"{secrets.token_hex(4)}.function"
        DelayedSubmission(function).dump(path)
        return path

    def run(self, sent: Path, environment: Mapping[str, str]) -> None:
        """Submit a job, and wait until it has ended; cancel it if this process is stopped or
        loses its parent.

        Args:
            sent: see `send`.
            environment: variables that the job gets.

        Raises:
            RuntimeError: the job has failed.
        """
        parent = os.getppid()
        job = executor(self.folder, self.params).submit(_call, sent, dict(environment))
        missing_since: float | None = None
        ended = False
        try:
            while not ended:
                time.sleep(_POLL)
                ended = job.paths.result_pickle.exists()
                if os.getppid() != parent:
                    return
                if not ended and is_queued(job.job_id) is False:
                    missing_since = missing_since or time.monotonic()
                    if time.monotonic() - missing_since > _SURE:
                        ended = job.paths.result_pickle.exists()
                        if not ended:
                            raise RuntimeError(why_gone([job.job_id])[job.job_id])
        finally:
            if not ended:
                _cancel([job.job_id])
        if job.exception() is not None:
            raise RuntimeError(f"SLURM's job {job.job_id} failed:\n{job.exception()}")

    def cancel(self) -> None:
        """Cancel all jobs that are still there."""
        _cancel([path.name for path in self.folder.iterdir() if path.name.isdigit()])


def open_worker_jobs(preset: str, given: Mapping[str, Any]) -> WorkerJobs:
    """Jobs with the options of a launcher.

    Args:
        preset: a choice of `hydra/launcher`, or a yaml file like those.
        given: options that override it.

    Raises:
        InputError: there is no such preset or option, or no SLURM.
    """
    params = _compose(preset, given)
    try:
        folder = make_private(params["folder"])
        executor(folder, params)  # only looks
    except RuntimeError as error:
        raise InputError(f"workers={preset}: {error}") from error
    except InputError as error:
        raise InputError(str(error).replace("hydra.launcher", "launcher")) from error
    return WorkerJobs(params, folder)


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

    os.environ.update(environment)
    DelayedSubmission.load(sent).result()


def _cancel(numbers: list[str]) -> None:
    if numbers:
        subprocess.run(["scancel", *numbers], capture_output=True, timeout=60, check=False)
