"""The files of a run folder; nothing else writes them."""

from dacapo.store.folder import History, RunFolder, RunWriter, find_run_folders
from dacapo.store.header import Header

__all__ = ["Header", "History", "RunFolder", "RunWriter", "find_run_folders"]
