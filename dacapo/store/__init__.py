"""The files of a run folder; nothing else writes them."""

from dacapo.store.claim import BusyError
from dacapo.store.folder import RunFolder, find_run_folders
from dacapo.store.header import Header
from dacapo.store.history import History, mean_losses
from dacapo.store.state import ENDS, FAILURES, STATES, RunState, failed_alike, read_state
from dacapo.store.submission import Submission
from dacapo.store.writer import NoWriter, RunWriter

__all__ = [
    "ENDS",
    "FAILURES",
    "STATES",
    "BusyError",
    "Header",
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
