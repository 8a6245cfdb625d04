"""Runs the jobs of a sweep in processes on this machine."""

from __future__ import annotations

import math
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dacapo.errors import InputError
from dacapo.launching.pool import Job, JobNotes, Pool, seconds
from dacapo.launching.private import make_private
from dacapo.processes.cores import num_cores

_REQUEUED = 144
"""Exit status of submitit for a job that has saved itself and is to be resumed."""
_GPU = re.compile(r"\d+|(GPU|MIG)-[\w/-]+", re.ASCII)
_NO_LIMIT = 365 * 24 * 3600.0
_GRACE = 60.0
"""Seconds that jobs have to save themselves after Ctrl-C."""


class _Process:
    """A job and its process, which is started again after each time limit."""

    def __init__(self, job: Job, folder: Path, gpu: str | None) -> None:
        self.job, self.folder, self.gpu = job, folder, gpu
        self.log = folder / f"{job.number}_0_log.err"
        self.num_starts = 0

    def start(self, threads: int) -> None:
        """Begin, or resume."""
        self.num_starts += 1
        self.begin, self.is_signalled = time.monotonic(), False
        environment = {
            **os.environ,
            "SUBMITIT_EXECUTOR": "local",
            "SUBMITIT_LOCAL_JOB_ID": str(self.job.number),
            "CUDA_VISIBLE_DEVICES": self.gpu or "",
            "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(threads)),
        }
        command = [sys.executable, "-u", "-m", "dacapo.launching.private", str(self.folder)]
        out = self.folder / f"{self.job.number}_0_log.out"
        with out.open("ab") as stdout, self.log.open("ab") as stderr:
            # A new session, so that Ctrl-C in the terminal reaches only the launcher.
            self.process = subprocess.Popen(
                command, env=environment, stdout=stdout, stderr=stderr,
                stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip

    def send_signal(self, number: int) -> None:
        """Send a signal to the process, unless it has ended."""
        self.process.send_signal(number)


class LocalPool(Pool):
    """Several processes at a time, each with its own GPU if there are any, or with a share."""

    def __init__(
        self, params: Mapping[str, Any], notes: JobNotes, run: Callable[[str], object]
    ) -> None:
        super().__init__(params, notes, run)
        gpus: list[str | None] = [*_gpus(params["gpus"])]
        at_once = params["at_once"]
        if at_once is None:
            at_once = len(gpus) or 1
        if at_once < 1:
            raise InputError(f"hydra.launcher.at_once={at_once} must be at least 1")
        self._num_gpus = len(gpus)
        self._free = [(gpus or [None])[i % max(1, len(gpus))] for i in range(at_once)]
        self._threads = params["threads"] or max(1, num_cores() // at_once)
        self._limit = seconds(params["time"], _NO_LIMIT, params["signal_delay"])
        self._max_starts = 1 + params["max_timeouts"]
        self._delay = params["signal_delay"]
        self._waiting: list[Job] = []
        self._running: list[_Process] = []

    def start(self, jobs: Sequence[Job]) -> None:
        from submitit.core.utils import DelayedSubmission

        self._folder = make_private(self._params["folder"])
        for job in jobs:
            submission = DelayedSubmission(self._run, job.text)
            submission.set_timeout(math.ceil(self._limit / 60), self._max_starts)
            submission.dump(self._folder / f"{job.number}_submitted.pkl")
            self._notes.submitted(job)
        self._waiting = list(jobs)
        shared = ""
        if 0 < self._num_gpus < len(self._free):
            each = math.ceil(len(self._free) / self._num_gpus)
            shared = f", up to {each} per GPU, in whose memory they must fit together"
        line = f"{len(self._free)} at once on this machine{shared}, logs in {self._folder}"
        print(line, flush=True)

    def ended(self) -> list[tuple[Job, str]]:
        over = []
        for running in list(self._running):
            self._enforce_limit(running)
            status = running.process.poll()
            if status is None:
                continue
            if status == _REQUEUED and running.num_starts < self._max_starts:
                running.start(self._threads)
                continue
            self._running.remove(running)
            self._free.append(running.gpu)
            over.append((running.job, _how(running, status)))
        while self._waiting and self._free:
            job = self._waiting.pop(0)
            try:
                if why := self._notes.not_needed(job):  # another sweep has claimed it
                    over.append((job, why))
                    continue
                process = _Process(job, self._folder, self._free[0])
                self._notes.submitted(job, log=process.log)
            except InputError as error:
                over.append((job, f"could not be started: {error}"))
                continue
            self._free.pop(0)
            process.start(self._threads)
            self._running.append(process)
        return over

    def _enforce_limit(self, running: _Process) -> None:
        """Ask a job to save itself before its limit, and end it at the limit."""
        passed = time.monotonic() - running.begin
        if passed > self._limit - self._delay and not running.is_signalled:
            running.is_signalled = True
            running.send_signal(signal.SIGUSR2)
        elif passed > self._limit:
            running.process.kill()

    def stop_or_leave(self) -> str:
        """Ask all jobs to save themselves, and wait for them."""
        print("stopping: each job saves itself; rerun the same command to resume", flush=True)
        for running in self._running:
            running.send_signal(signal.SIGINT)
        deadline = time.monotonic() + _GRACE
        for running in self._running:
            try:
                running.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                running.process.kill()
                running.process.wait()
        return ""


def _how(running: _Process, status: int) -> str:
    if status < 0:
        return f"its process was ended by {signal.Signals(-status).name}"
    if status == _REQUEUED:
        return f"it reached its time limit {running.num_starts} times"
    lines = running.log.read_text(errors="replace").strip().splitlines()
    return f"exit status {status}: {lines[-1] if lines else 'no output'}"


def _gpus(asked: Sequence[str] | None) -> list[str]:
    """The GPUs to use, as CUDA_VISIBLE_DEVICES names them."""
    if asked is not None:
        for gpu in asked:
            if not _GPU.fullmatch(str(gpu)):
                raise InputError(
                    f"hydra.launcher.gpus: {gpu} must be the number of a GPU, or a UUID such as "
                    f"GPU-... or MIG-..., which nvidia-smi -L shows"
                )
        return [str(gpu) for gpu in asked]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        named = [part.strip() for part in visible.split(",")]
        return [gpu for gpu in named if _GPU.fullmatch(gpu)]
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]
