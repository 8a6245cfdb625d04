"""The interface between launchers and the machine or cluster on which jobs run."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from hydra.core.singleton import Singleton

from dacapo.errors import InputError

if TYPE_CHECKING:
    from hydra_plugins.dacapo_launcher import _Launcher


@dataclass(frozen=True)
class Job:
    """One job of a sweep: its number, its overrides as Hydra gives them, and what it is called."""

    number: int
    overrides: Sequence[str]
    label: str

    def __str__(self) -> str:
        return f"job {self.number} ({self.label})"


class JobNotes(Protocol):
    """How the sweep that submitted the jobs follows them."""

    def submitted(self, job: Job, job_id: str = "", log: Path | str = "") -> None:
        """Note that the job is waiting, or starts with this log."""

    def not_needed(self, job: Job) -> str:
        """Why a waiting job must no longer be started; empty if it may."""


class Pool(ABC):
    """Runs jobs."""

    def __init__(self, launcher: _Launcher, notes: JobNotes) -> None:
        self._launcher, self._params, self._notes = launcher, launcher.params, notes

    @property
    def num_processes(self) -> int:
        """Number of processes per job."""
        return 1

    @abstractmethod
    def start(self, jobs: Sequence[Job]) -> None:
        """Accept all jobs, and note that they are waiting.

        Raises:
            InputError: the jobs cannot be run; none has started.
        """

    @abstractmethod
    def ended(self) -> list[tuple[Job, str]]:
        """Jobs that have ended since the last call, each with the reason as far as it is known."""

    @abstractmethod
    def stop_or_leave(self) -> str:
        """Stop the jobs; or leave them running, and return the command that cancels them."""

    def arguments(self, job: Job) -> tuple[Any, ...]:
        """The launcher's keyword arguments in the process of a job."""
        name = f"job_id_for_{job.number}"
        return (list(job.overrides), "hydra.sweep.dir", job.number, name, Singleton.get_state())


def seconds(text: str, default: float, signal_delay: float) -> float:
    """A time limit in seconds.

    Args:
        text: as sbatch takes it (minutes, minutes:seconds, hours:minutes:seconds or
            days-hours:minutes:seconds), or a number with s; empty: the default.

    Raises:
        InputError: the text is not a time, or is not longer than the signal's delay.

    >>> seconds("90", 0, 120), seconds("1-02:00:30", 0, 120), seconds("20s", 0, 5)
    (5400.0, 93630.0, 20.0)
    >>> seconds("5:30", 0, 120), seconds("1-2", 0, 120)
    (330.0, 93600.0)
    """
    total = default if not text else _parse(text)
    if total <= signal_delay:
        raise InputError(
            f"hydra.launcher.time={text}: must be longer than hydra.launcher.signal_delay="
            f"{signal_delay:g} seconds"
        )
    return float(total)


def _parse(text: str) -> float:
    if re.fullmatch(r"\d+(\.\d+)?s", text):
        return float(text[:-1])
    found = re.fullmatch(r"(?:(\d+)-)?(\d+(?::\d+){0,2})", text)
    if found is None:
        raise InputError(
            f"hydra.launcher.time={text}: give minutes, minutes:seconds, "
            f"[days-]hours:minutes:seconds, or seconds like 90s"
        )
    parts = [int(part) for part in found[2].split(":")]
    if found[1] is None and len(parts) < 3:  # without days, sbatch begins with the minutes
        parts = [0, *parts]
    hours, minutes, rest = [*parts, 0, 0][:3]
    return ((int(found[1] or 0) * 24 + hours) * 60 + minutes) * 60 + rest
