"""What has become of a run."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

from dacapo.runs.lease import LEASE
from dacapo.runs.folder import RunFolder
from dacapo.runs.history import History
from dacapo.runs.log import log_files
from dacapo.processes.queue import is_queued
from dacapo.runs.submission import Submission
from dacapo.runs.writer import ERROR_FILE

ENDS = {
    "done": "trained until num_iterations",
    "stopped": "pruned: others were better",
    "failed": "an error; see its traceback",
    "preempted": "saved for a time limit or another job; the scheduler starts it again",
    "interrupted": "saved for Ctrl-C or a signal; rerun the same command to resume",
}
"""How a writer says that it ended."""
STATES = {
    "waiting": "waits for a launcher or a scheduler",
    "running": "a process works on it",
    **ENDS,
    "killed": "ended without reporting; rerun the same command to resume",
}
FAILURES = ("failed", "killed")


@dataclass(frozen=True)
class RunState:
    """A run as its folder tells it.

    Attributes:
        name: one of `STATES`.
        who: the process that works on it, the job that waits, or the last process that worked.
        queued: whether a job or a launcher that lives will start it (again).
        silent: seconds since it has written anything, by the clocks of the disk and of here.
        error: why it failed, in one line; empty when it has not.
        log: the file that tells more; empty when there is none.
    """

    name: str
    who: str
    queued: bool
    silent: float
    error: str
    log: str


def read_state(folder: RunFolder, history: History | None = None) -> RunState:
    """What a run's folder tells; looking changes nothing and waits for no other process."""
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
            name, error = "killed", f"{submission} has ended and has not begun with it"
        elif name == "preempted":
            name, error = "killed", f"{submission} was preempted and is not started again"
    written = folder.path / ERROR_FILE
    log = submission.log if submission is not None else ""
    return RunState(name, who, queued, silent, error, str(written) if written.exists() else log)


def _by_writer(history: History, has_log: bool, silent: float) -> tuple[str, str]:
    """By the last writer alone: state and error."""
    outcome = history.outcome
    if outcome:
        return outcome["status"], str(outcome.get("error", ""))
    alive = history.owner.is_alive() if history.owner is not None else has_log
    if alive or (alive is None and silent < LEASE):
        return "running", ""
    return "killed", "ended without reporting; rerun the same command to resume"


def _will_start(submission: Submission, begun: bool, name: str) -> bool:
    """Whether what the run was given to will start it (again), as far as is known here."""
    if begun and name in ("killed", "interrupted"):
        # SLURM starts jobs again by itself, such as those of a node that has failed.
        return submission.job != "" and is_queued(submission.job) is True
    if begun and name != "preempted":
        return False
    if submission.job:
        return is_queued(submission.job) is not False
    return submission.launcher.is_alive() is not False


def failed_alike(history: History) -> str:
    """The error of the last two writers, where it is one and the same; else empty."""
    ends = [o for o in history.outcomes if o.get("status") != "preempted"][-2:]
    if len(ends) < 2 or any(o.get("status") != "failed" for o in ends):
        return ""
    first, second = (_comparable(o.get("traceback", "")) for o in ends)
    return str(ends[-1]["error"]) if first == second else ""


def _comparable(traceback: str) -> str:
    """Without what differs between two processes: addresses and ids.

    >>> _comparable("<f at 0x7f00> of process 12, 3.5 s")
    '<f at #> of process #, # s'
    """
    return re.sub(r"0x[0-9a-f]+|\d+(\.\d+)?", "#", traceback)
