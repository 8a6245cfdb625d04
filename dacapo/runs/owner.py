"""Who works on a run, and whether that process still lives."""

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
    """A process, named so that no other one is taken for it.

    Attributes:
        host: its name.
        machine: which boot of which machine, and which space of process ids (a container has its
            own); empty where the system does not tell.
        pid: process id there.
        started: when the process began, in clock ticks since the boot; ids are used again.
        job: of the scheduler; empty outside of one.
        since: when it began with the run, local time.
        restarts: how often the scheduler had started the job again.
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
        """None: it is of another machine, and nothing here can tell."""
        me = Owner.current()
        if not self.machine or self.machine != me.machine:
            # A job runs once at a time: what it was before it was started again is dead.
            is_older = self.job != "" and self.job == me.job and self.restarts < me.restarts
            return False if is_older else None
        state, started = _state_and_start(self.pid)
        return state not in ("", "Z", "X") and started == self.started

    def encode(self) -> dict[str, Any]:
        """Plain data."""
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
    """Letter of the process' state ('' when there is none) and when it began."""
    try:
        # The name of the program, in parentheses, may hold anything; what follows may not.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        if Path("/proc/self/stat").exists():
            return "", 0
        return _asked(pid), 0
    return fields[0], int(fields[19])


def _asked(pid: int) -> str:
    """The same where there is no /proc."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        pass
    return "R"
