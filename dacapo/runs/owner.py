"""The process that works on a run, and whether it is still alive."""

from __future__ import annotations

import os
import socket
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

_BOOT = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Owner:
    """A process, identified so that it cannot be confused with another.

    Attributes:
        host: name of its machine.
        machine: identifies the boot of the machine and the namespace of process ids (containers
            have their own); empty if the system does not report it.
        pid: process id in that namespace.
        started: when the process started, in clock ticks since boot, because ids are reused.
        job: job id of the scheduler; empty outside a scheduler.
        since: when it began to work on the run, local time.
        restarts: how often the scheduler had restarted the job.
    """

    host: str
    machine: str
    pid: int
    started: int
    job: str
    since: str
    restarts: int = 0

    @classmethod
    def current(cls) -> Owner:
        """This process."""
        return cls(
            socket.gethostname(),
            _machine(),
            os.getpid(),
            _state_and_start(os.getpid())[1],
            os.environ.get("SLURM_JOB_ID", ""),
            time.strftime("%Y-%m-%d %H:%M:%S"),
            int(os.environ.get("SLURM_RESTART_COUNT", "0")),
        )

    def is_alive(self) -> bool | None:
        """Whether the process is alive; None if it is on another machine, so this one cannot
        tell."""
        me = Owner.current()
        if not self.machine or self.machine != me.machine:
            # A job has one process at a time: once it was restarted, its earlier process is dead.
            is_older = self.job != "" and self.job == me.job and self.restarts < me.restarts
            return False if is_older else None
        state, started = _state_and_start(self.pid)
        return state not in ("", "Z", "X") and started == self.started

    def encode(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)

    def __str__(self) -> str:
        job = f" (job {self.job})" if self.job else ""
        return f"process {self.pid} on {self.host}{job}, since {self.since}"


def _machine() -> str:
    try:
        return f"{_BOOT.read_text().strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return f"{socket.gethostname()} {os.name}" if os.name == "posix" else ""


def _state_and_start(pid: int) -> tuple[str, int]:
    """The process's state letter ('' if there is no such process) and start time."""
    try:
        # The program's name, in parentheses, may contain anything; the fields after it may not.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        if Path("/proc/self/stat").exists():
            return "", 0
        return _asked(pid), 0
    return fields[0], int(fields[19])


def _asked(pid: int) -> str:
    """State letter and start time on systems without /proc."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        pass
    return "R"
