"""Runs the jobs of a sweep on a SLURM cluster, through submitit."""

from __future__ import annotations

import math
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from dacapo.errors import InputError
from dacapo.launching.pool import Job, JobNotes, Pool, seconds
from dacapo.launching.private import make_private
from dacapo.processes.queue import is_queued

if TYPE_CHECKING:
    import submitit

_DAY = 24 * 3600.0
_SURE = 6.0
"""Seconds for which a job must be missing from the queue before it counts as gone. Longer than
answers are cached, because a requeued job may be absent for a moment."""
_SACCT_PATIENCE = 30.0


class SlurmPool(Pool):
    """A job array."""

    def __init__(
        self, params: Mapping[str, Any], notes: JobNotes, run: Callable[[str], object]
    ) -> None:
        super().__init__(params, notes, run)
        self._jobs: dict[str, Job] = {}
        self._missed: dict[str, float] = {}

    def start(self, jobs: Sequence[Job]) -> None:
        folder = make_private(self._params["folder"])
        try:
            started = executor(folder, self._params).map_array(
                self._run, [job.text for job in jobs]
            )
        except RuntimeError as error:  # submitit's, for a missing srun and a failing sbatch
            raise InputError(f"hydra/launcher=slurm: no job was started: {error}") from error
        for job, given in zip(jobs, started, strict=True):
            self._jobs[given.job_id] = job
            self._notes.submitted(job, given.job_id, given.paths.stderr)
        print(f"submitted to SLURM: {', '.join(self._arrays())}", flush=True)

    @property
    def num_processes(self) -> int:
        return _num_processes(self._params)

    def ended(self) -> list[tuple[Job, str]]:
        now = time.monotonic()
        missed = {number for number in self._jobs if is_queued(number) is False}
        self._missed = {number: self._missed.get(number, now) for number in missed}
        gone = [number for number, since in self._missed.items() if now - since > _SURE]
        reasons = why_gone(gone)
        return [(self._jobs.pop(number), reasons[number]) for number in gone]

    def stop_or_leave(self) -> str:
        """Leave the jobs running in the cluster."""
        return f"scancel {' '.join(self._arrays())}"

    def _arrays(self) -> list[str]:
        return list(dict.fromkeys(number.partition("_")[0] for number in self._jobs))


def executor(folder: Path, params: Mapping[str, Any]) -> submitit.SlurmExecutor:
    """Submits jobs that first look at a folder of `make_private`.

    Args:
        params: the options of `SlurmConfig`.

    Raises:
        InputError: an option is not valid.
    """
    import submitit

    if _num_processes(params) < 1 or 0 < params["gpus"] < params["processes"]:
        raise InputError(
            f"no job was started: hydra.launcher.nodes={params['nodes']}, "
            f"processes={params['processes']}, gpus={params['gpus']}: give at least one of "
            f"each, and one GPU per process or none"
        )

    class Executor(submitit.SlurmExecutor):
        """Starts jobs by a command that first looks at the folder."""

        @property
        def _submitit_command_str(self) -> str:
            return f"{self.python} -u -m dacapo.launching.private {quote(str(self.folder))}"

    made = Executor(folder / "%j", max_num_timeout=params["max_timeouts"])
    made.update_parameters(**_options(params))
    return made


def _options(params: Mapping[str, Any]) -> dict[str, Any]:
    """The options of sbatch, by submitit's names."""
    memory, processes = params["memory"], _num_processes(params)
    options = {
        "job_name": "dacapo",
        "time": math.ceil(seconds(params["time"], _DAY, params["signal_delay"]) / 60),
        "signal_delay_s": params["signal_delay"],
        "array_parallelism": params["at_once"],
        "nodes": params["nodes"],
        "ntasks_per_node": params["processes"],
        "cpus_per_task": params["cpus"],
        # Processes that train together cannot continue without each other.
        "srun_args": ["--kill-on-bad-exit=1"] if processes > 1 else None,
        "gpus_per_node": params["gpus"] or None,
        "mem": None if memory is None else f"{round(memory * 1024)}M",
        "setup": params["setup"] or None,
        "additional_parameters": params["sbatch"] or None,
        **{key: params[key] for key in ("partition", "account", "qos", "constraint")},
    }
    return {key: value for key, value in options.items() if value is not None}


def _num_processes(params: Mapping[str, Any]) -> int:
    return int(params["nodes"] * params["processes"])


def why_gone(numbers: Sequence[str]) -> dict[str, str]:
    """Why jobs have left the queue, according to SLURM's accounting."""
    reasons = {number: f"SLURM's job {number} has left the queue" for number in numbers}
    if not numbers:
        return reasons
    command = ["sacct", "-n", "-P", "-X", "-j", ",".join(numbers), "-o", "JobID,State,ExitCode"]
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, timeout=_SACCT_PATIENCE, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return reasons
    for line in answer.stdout.splitlines():
        number, state, code = line.split("|")
        if number in reasons:
            reasons[number] = f"SLURM's job {number} ended as {state}, exit code {code}"
    return reasons
