"""The process that works on a run, and whether it is still alive."""

from __future__ import annotations

import os
import socket
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_MACHINE = Path("/etc/machine-id")


@dataclass(frozen=True)
class Owner:
    """A process, identified so that it cannot be confused with another.

    Attributes:
        host: name of its machine.
        pid: process id in that namespace.
        started: when the process started, in clock ticks since boot, because ids are reused.
        job: job id of the scheduler; empty outside a scheduler.
        since: when it began to work on the run, local time.
        restarts: how often the scheduler had restarted the job.
        machine: identifies the installation of the machine; empty if the system has no such id.
        boot: identifies the boot of the machine; empty if the system does not report it.
        namespace: identifies the namespace of process ids, as containers have their own.
    """

    host: str
    pid: int
    started: int
    job: str
    since: str
    restarts: int = 0
    machine: str = ""
    boot: str = ""
    namespace: str = ""

    @classmethod
    def current(cls) -> Owner:
        """This process."""
        return cls(
            socket.gethostname(),
            os.getpid(),
            _started(os.getpid()) or 0,
            os.environ.get("SLURM_JOB_ID", ""),
            time.strftime("%Y-%m-%d %H:%M:%S"),
            int(os.environ.get("SLURM_RESTART_COUNT", "0")),
            *_place(),
        )

    def is_alive(self) -> bool | None:
        """Whether the process is alive; None if it is on another machine, so this one cannot
        tell."""
        me = Owner.current()
        if self.boot != "" and (self.boot, self.namespace) == (me.boot, me.namespace):
            return self._is_alive_here()
        # A job has one process at a time: once it was restarted, its earlier process is dead.
        if self.job != "" and self.job == me.job and self.restarts < me.restarts:
            return False
        # No process survives a reboot. Machines of one name, such as localhost, are told apart by
        # the ids of their installations; containers without one are watched like other machines.
        is_same_machine = self.machine != "" and (self.host, self.machine) == (me.host, me.machine)
        if is_same_machine and "" not in (self.boot, me.boot) and self.boot != me.boot:
            return False
        return None

    def _is_alive_here(self) -> bool:
        started = _started(self.pid)
        if started is not None:
            return started == self.started
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:  # it is there, but hidden: another user's, under hidepid
            return True
        # Our own processes are visible in /proc, if there is one, unless they have just ended.
        return not Path("/proc/self/stat").exists()

    def encode(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)

    def __str__(self) -> str:
        job = f" (job {self.job})" if self.job else ""
        return f"process {self.pid} on {self.host}{job}, since {self.since}"


def _place() -> tuple[str, str, str]:
    """Machine, boot and namespace of process ids of this process."""
    machine = _MACHINE.read_text().strip() if _MACHINE.is_file() else ""
    try:
        return machine, _BOOT.read_text().strip(), os.readlink("/proc/self/ns/pid")
    except OSError:  # without /proc, the name of the machine has to do
        return machine, f"{socket.gethostname()} {os.name}" if os.name == "posix" else "", ""


def _started(pid: int) -> int | None:
    """When a process started; -1 for one that has ended but is still listed; None if unknown."""
    try:
        # The program's name, in parentheses, may contain anything; the fields after it may not.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return -1 if fields[0] in ("Z", "X") else int(fields[19])
