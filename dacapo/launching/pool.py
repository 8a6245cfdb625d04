"""The interface between launchers and the machine or cluster on which jobs run."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from dacapo.errors import InputError

if TYPE_CHECKING:
    from submitit.helpers import DelayedSubmission


@dataclass(frozen=True)
class Job:
    """One job of a sweep.

    Attributes:
        overrides: as Hydra gives them.
        label: what it is called.
        text: what its process is sent.
    """

    number: int
    overrides: Sequence[str]
    label: str
    text: str = ""

    def __str__(self) -> str:
        return f"job {self.number} ({self.label})"


@dataclass(frozen=True)
class Restartable:
    """Runs a job given its text; submitit starts it again with the same text after a time limit."""

    run: Callable[[str], object]

    def __call__(self, text: str) -> object:
        return self.run(text)

    def checkpoint(self, text: str) -> DelayedSubmission:
        """What to run next; a run's folder knows how far it is."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, text)


class JobNotes(Protocol):
    """How the sweep that submitted the jobs follows them."""

    def submitted(self, job: Job, job_id: str = "", log: Path | str = "") -> None:
        """Note that the job is waiting, or starts with this log."""

    def not_needed(self, job: Job) -> str:
        """Why a waiting job must no longer be started; empty if it may."""


class Pool(ABC):
    """Runs jobs.

    Args:
        params: the options of `LauncherConfig`.
        run: runs a job, in its own process, given its text.
    """

    def __init__(
        self, params: Mapping[str, Any], notes: JobNotes, run: Callable[[str], object]
    ) -> None:
        self._params, self._notes, self._run = params, notes, Restartable(run)

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
