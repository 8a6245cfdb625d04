"""The state of a run."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

from dacapo.processes.queue import is_queued
from dacapo.runs.folder import RunFolder
from dacapo.runs.history import History
from dacapo.runs.lease import LEASE
from dacapo.runs.log import log_files
from dacapo.runs.submission import Submission
from dacapo.runs.writer import ERROR_FILE

ENDS = {
    "done": "trained until num_iterations",
    "stopped": "pruned, because other runs were better",
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
}
FAILURES = ("failed", "killed")


@dataclass(frozen=True)
class RunState:
    """The state of a run as recorded in its folder.

    Attributes:
        name: one of `STATES`.
        who: the process that works on it, the waiting job, or the last process that worked on it.
        queued: whether a live job or launcher will start it (again).
        silent: seconds since it last wrote anything, by the disk's and this machine's clocks.
        error: why it failed, in one line; empty if it has not failed.
        log: the file with details; empty if there is none.
    """

    name: str
    who: str
    queued: bool
    silent: float
    error: str
    log: str


def read_state(folder: RunFolder, history: History | None = None) -> RunState:
    """Read the state of a run; this changes nothing and waits for no other process."""
    history = folder.read_history() if history is None else history
    submission = folder.read_submission()
    logs = log_files(folder.path)
    silent = time.time() - logs[-1].stat().st_mtime if logs else 0.0
    name, error = _by_writer(history, bool(logs), silent)
    who = str(history.owner) if history.owner is not None else ""
    queued = False
    if submission is not None and name != "running":
        begun = len(logs) > submission.writers
        queued = not submission.lost and _will_start(submission, begun, name)
        if submission.lost and (not begun or name in ("killed", "preempted")):
            name, error = "killed", submission.lost
        elif queued:
            name, error, who = name if name == "preempted" else "waiting", "", str(submission)
        elif not begun:
            name, error = "killed", f"{submission} has ended before it started the run"
        elif name == "preempted":
            name, error = "killed", f"{submission} was preempted and will not be restarted"
    written = folder.path / ERROR_FILE
    log = submission.log if submission is not None else ""
    return RunState(name, who, queued, silent, error, str(written) if written.exists() else log)


def _by_writer(history: History, has_log: bool, silent: float) -> tuple[str, str]:
    """State and error according to the last writer only.

    A writer on another machine is judged by the age of its log, which may be off by the difference
    of two clocks; that is good enough to show. A claim decides more carefully, see `lease`.
    """
    outcome = history.outcome
    if outcome:
        return outcome["status"], str(outcome.get("error", ""))
    alive = history.owner.is_alive() if history.owner is not None else has_log
    if alive or (alive is None and silent < LEASE):
        return "running", ""
    return "killed", "ended without reporting; rerun the same command to resume"


def _will_start(submission: Submission, begun: bool, name: str) -> bool:
    """Whether the launcher or scheduler will start the run (again), as far as it is known here."""
    if begun and name in ("killed", "interrupted"):
        # SLURM itself restarts jobs, such as those of a failed node.
        return submission.job != "" and is_queued(submission.job) is True
    if begun and name != "preempted":
        return False
    if submission.job:
        return is_queued(submission.job) is not False
    return submission.launcher.is_alive() is not False


def failed_alike(history: History) -> str:
    """The error of the last two writers, if both had the same one; else empty."""
    ends = [o for o in history.outcomes if o.get("status") != "preempted"][-2:]
    if len(ends) < 2 or any(o.get("status") != "failed" for o in ends):
        return ""
    first, second = (_comparable(o.get("traceback", "")) for o in ends)
    return str(ends[-1]["error"]) if first == second else ""


def _comparable(traceback: str) -> str:
    """An error without what differs between processes: addresses, ids and times.

    >>> _comparable("<f at 0x7f00> of process 12, 3.5 s")
    '<f at #> of process #, # s'
    """
    return re.sub(r"0x[0-9a-f]+|\d+(\.\d+)?", "#", traceback)
