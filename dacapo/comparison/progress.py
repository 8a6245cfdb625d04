"""State and progress of the runs below a folder."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dacapo.errors import InputError
from dacapo.runs import STATES, RunFolder, find_run_folders, read_state
from dacapo.training.terminal import counted

_NUM_RECENT = 100
"""Number of latest steps over which speed and loss are averaged."""


@dataclass(frozen=True)
class Progress:
    """One run.

    Attributes:
        run: name/repetition.
        state: one of `dacapo.runs.state.STATES`.
        iteration, num_iterations: steps done, and steps in all.
        loss: mean over the latest steps.
        criterion, best: the criterion that selects, and its best value so far.
        iterations_per_second: over the latest steps.
        seconds_left: of training without validation, at this speed; NaN unless it is running.
        who: the process or job that works on it.
        error: why it failed.
        log: the file with details.
    """

    run: str
    state: str
    iteration: int
    num_iterations: int
    loss: float
    criterion: str
    best: float
    iterations_per_second: float
    seconds_left: float
    who: str
    error: str
    log: str


def read_progress(runs_dir: Path) -> list[Progress]:
    """All runs below a folder, by name and repetition.

    Raises:
        InputError: there are no runs.
    """
    folders = find_run_folders(runs_dir)
    if not folders:
        raise InputError(f"runs_dir={runs_dir}: the folder holds no runs")
    return [_progress(folder) for folder in folders]


def _progress(folder: RunFolder) -> Progress:
    history = folder.read_history()
    state = read_state(folder, history)
    document = history.document or folder.read_document()
    wanted = int(document["config"].get("num_iterations", 0))
    recent = history.steps[-_NUM_RECENT:]
    seconds = recent[:, 1].mean() if len(recent) else math.nan
    best, header = history.best(), history.header
    left = (wanted - history.trained_until) * seconds if state.name == "running" else math.nan
    return Progress(
        run=folder.label,
        state=state.name,
        iteration=history.trained_until,
        num_iterations=wanted,
        loss=float(recent[:, 0].mean()) if len(recent) else math.nan,
        criterion=header.selected_by if header is not None else "",
        best=best.value if best is not None else math.nan,
        iterations_per_second=float(1 / seconds) if seconds else math.nan,
        seconds_left=float(left),
        who=state.who,
        error=state.error,
        log=state.log,
    )


def summary(runs: Sequence[Progress]) -> str:
    """The number of runs in each state."""
    count = Counter(run.state for run in runs)
    states = ", ".join(f"{count[s]} {s}" for s in STATES if count[s])
    return f"{counted(len(runs), 'run')}: {states}"
