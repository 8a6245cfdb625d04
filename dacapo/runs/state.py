"""The state of a run."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dacapo.errors import printable
from dacapo.processes.queue import is_queued
from dacapo.runs.folder import RunFolder
from dacapo.runs.history import History
from dacapo.runs.lease import LEASE
from dacapo.runs.log import log_files
from dacapo.runs.owner import Owner
from dacapo.runs.submission import Submission
from dacapo.runs.writer import ERROR_FILE

ENDS = {
    "done": "trained until num_iterations",
    "stopped": "pruned, because other runs were better",
    "refused": "options or data do not fit, and nothing was trained",
    "failed": "an error occurred; see its traceback",
    "preempted": "saved at its time limit or for another job; the scheduler restarts it",
    "interrupted": "saved after Ctrl-C or a signal; rerun the same command to resume",
}
"""Outcomes that a writer notes when it ends."""
STATES = {
    "waiting": "waiting for a launcher or a scheduler",
    "running": "a process is working on it",
    **ENDS,
    "killed": "ended without reporting; rerun the same command to resume",
    "unreadable": "its folder cannot be read",
}
FAILURES = ("failed", "killed", "unreadable")


@dataclass(frozen=True)
class RunState:
    """The state of a run as recorded in its folder.

    Attributes:
        name: one of `STATES`.
        who: the process that works on it, the waiting job, or the last process that worked on it.
        queued: whether a live job or launcher will start it (again).
        error: why it failed, in one line; empty if it has not failed.
        log: the file with details; empty if there is none.
    """

    name: str
    who: str
    queued: bool
    error: str
    log: str


def read_state(folder: RunFolder, history: History | None = None) -> RunState:
    """Read the state of a run; this changes nothing and waits for no other process.

    Raises:
        UnreadableError: a file of the run cannot be read.
    """
    history = folder.read_history() if history is None else history
    logs = log_files(folder.path)
    written = folder.path / ERROR_FILE
    return state_of(
        Traces(
            folder,
            history.outcome,
            history.owner,
            folder.read_submission(),
            len(logs),
            _modified(logs[-1]) if logs else 0.0,
            str(written) if written.exists() else "",
        )
    )


@dataclass(frozen=True)
class Traces:
    """What tells the state of a run.

    Attributes:
        outcome, owner: how the last writer ended, and who it was.
        submission: what a launcher noted.
        num_logs: number of processes that have worked on the run.
        written: when the newest log was last written, in seconds since the epoch.
        error_file: the file with the traceback; empty if there is none.
    """

    folder: RunFolder
    outcome: Mapping[str, Any]
    owner: Owner | None
    submission: Submission | None
    num_logs: int
    written: float
    error_file: str


def state_of(traces: Traces) -> RunState:
    """The state at this moment, which also depends on which processes and jobs are alive."""
    submission = traces.submission
    name, error = _by_writer(traces)
    who = str(traces.owner) if traces.owner is not None else ""
    queued = False
    if submission is not None and name != "running":
        begun = traces.num_logs > submission.writers
        queued = not submission.lost and _will_start(traces.folder, submission, begun, name)
        if submission.lost and (not begun or name in ("killed", "preempted")):
            name, error = "killed", submission.lost
        elif queued:
            name, error, who = name if name == "preempted" else "waiting", "", str(submission)
        elif not begun:
            name, error = "killed", f"{submission} has ended before it started the run"
        elif name == "preempted":
            name, error = "killed", f"{submission} was preempted and will not be restarted"
    log = submission.log if submission is not None else ""
    return RunState(name, who, queued, printable(error), traces.error_file or log)


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # it has just been moved, or cannot be reached
        return 0.0


def _by_writer(traces: Traces) -> tuple[str, str]:
    """State and error according to the last writer only.

    A writer on another machine is judged by the age of its log, which may be off by the difference
    of two clocks; that is good enough to show. A claim decides more carefully, see `lease`. A log
    from the future, by a clock that is wrong, is as old as one from the past.
    """
    if traces.outcome:
        return traces.outcome["status"], str(traces.outcome.get("error", ""))
    alive = False
    if traces.num_logs:
        alive_here = traces.owner.is_alive() if traces.owner is not None else None
        is_fresh = abs(time.time() - traces.written) < LEASE
        alive = is_fresh if alive_here is None else alive_here
    if alive:
        return "running", ""
    return "killed", "ended without reporting; rerun the same command to resume"


def _will_start(folder: RunFolder, submission: Submission, begun: bool, name: str) -> bool:
    """Whether the launcher or scheduler will start the run (again), as far as it is known here."""
    if begun and name in ("killed", "interrupted"):
        # SLURM itself restarts jobs, such as those of a failed node.
        return submission.job != "" and is_queued(submission.job) is True
    if begun and name != "preempted":
        return False
    if submission.job:
        return is_queued(submission.job) is not False
    return submission.is_launcher_alive(folder.path.parent.parent)


def failed_alike(history: History) -> str:
    """The error of the last two writers, if both had the same one; else empty."""
    ends = [o for o in history.outcomes if o.get("status") != "preempted"][-2:]
    if len(ends) < 2 or any(o.get("status") != "failed" for o in ends):
        return ""
    first, second = (_comparable(str(o.get("traceback", ""))) for o in ends)
    return printable(str(ends[-1].get("error", ""))) if first == second else ""


def _comparable(traceback: str) -> str:
    """An error without what differs between processes: addresses, ids and times.

    >>> _comparable("<f at 0x7f00> of process 12, 3.5 s")
    '<f at #> of process #, # s'
    """
    return re.sub(r"0x[0-9a-f]+|\d+(\.\d+)?", "#", traceback)
