"""State and progress of the runs below a folder."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dacapo.comparison.records import Unreadable, read_records
from dacapo.comparison.run_record import RunRecord
from dacapo.runs import STATES
from dacapo.training.terminal import counted


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
        loop_efficiency: the part of the speed of steps by themselves that this is.
        seconds_left: of training without validation, at this speed; NaN unless it is running.
        who: the process or job that works on it.
        error: why it failed, and what is damaged.
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
    loop_efficiency: float
    seconds_left: float
    who: str
    error: str
    log: str


def read_progress(runs_dir: Path) -> list[Progress]:
    """All runs below a folder, by name and repetition; then those that cannot be read.

    Raises:
        InputError: there are no runs.
    """
    records, unreadable = read_records(runs_dir)
    return [*map(_progress, records), *map(_unreadable, unreadable)]


def _progress(record: RunRecord) -> Progress:
    state = record.state()
    left = (record.num_iterations - record.trained_until) * record.recent_seconds
    return Progress(
        run=record.label,
        state=state.name,
        iteration=record.trained_until,
        num_iterations=record.num_iterations,
        loss=record.recent_loss,
        criterion=record.header.selected_by if record.header is not None else "",
        best=record.best.value if record.best is not None else math.nan,
        iterations_per_second=1 / record.recent_seconds if record.recent_seconds else math.nan,
        loop_efficiency=(
            record.seconds_alone / record.recent_seconds if record.recent_seconds else math.nan
        ),
        seconds_left=left if state.name == "running" else math.nan,
        who=state.who,
        error="; ".join([*filter(None, [state.error]), *record.damage]),
        log=state.log,
    )


def _unreadable(run: Unreadable) -> Progress:
    nan = math.nan
    return Progress(run.label, "unreadable", 0, 0, nan, "", nan, nan, nan, nan, "", run.error, "")


def summary(runs: Sequence[Progress]) -> str:
    """The number of runs in each state."""
    count = Counter(run.state for run in runs)
    states = ", ".join(f"{count[s]} {s}" for s in STATES if count[s])
    return f"{counted(len(runs), 'run')}: {states}"
