"""The files of a run's folder; only this package writes them."""

from dacapo.runs.folder import RunFolder, find_run_folders
from dacapo.runs.history import History, mean_losses
from dacapo.runs.lease import BusyError
from dacapo.runs.state import ENDS, FAILURES, STATES, RunState, failed_alike, read_state
from dacapo.runs.submission import Submission
from dacapo.runs.writer import NoWriter, RunWriter

__all__ = [
    "ENDS",
    "FAILURES",
    "STATES",
    "BusyError",
    "History",
    "NoWriter",
    "RunFolder",
    "RunState",
    "RunWriter",
    "Submission",
    "failed_alike",
    "find_run_folders",
    "mean_losses",
    "read_state",
]
