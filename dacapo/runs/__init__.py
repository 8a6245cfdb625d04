"""The files of a run's folder; only this package writes them."""

from dacapo.processes.files import UnreadableError
from dacapo.runs.folder import RunFolder, find_run_folders, missing_run
from dacapo.runs.history import History, Past, mean_losses
from dacapo.runs.lease import BusyError
from dacapo.runs.state import (
    ENDS,
    FAILURES,
    STATES,
    RunState,
    Traces,
    failed_alike,
    read_state,
    state_of,
)
from dacapo.runs.submission import Submission, launcher_beat
from dacapo.runs.writer import NoWriter, RunWriter

__all__ = [
    "ENDS",
    "FAILURES",
    "STATES",
    "BusyError",
    "History",
    "NoWriter",
    "Past",
    "RunFolder",
    "RunState",
    "RunWriter",
    "Submission",
    "Traces",
    "UnreadableError",
    "failed_alike",
    "find_run_folders",
    "launcher_beat",
    "mean_losses",
    "missing_run",
    "read_state",
    "state_of",
]
