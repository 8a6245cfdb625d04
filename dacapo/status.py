"""`python -m dacapo.status runs_dir=...`: what has become of all runs, and how far they are."""

from __future__ import annotations

import json
import math
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from dacapo.config import config, from_arguments
from dacapo.errors import InputError, one_line_errors
from dacapo.runs import STATES, RunFolder, find_run_folders, read_state

_RECENT = 100
"""Steps that speed and loss are means of."""


@config(None)
@dataclass(kw_only=True)
class StatusConfig:
    """Show what has become of all runs below a folder, and how far they are."""

    runs_dir: str = "runs"
    """Where the folders of runs lie."""
    watch: bool = False
    """Show it again every `interval` seconds, until Ctrl-C or until nothing is left to wait for."""
    interval: float = 5.0
    """Seconds between two looks."""
    json: bool = False
    """Print one JSON object a run instead of a table, for scripts."""


@dataclass(frozen=True)
class Progress:
    """One run.

    Attributes:
        run: name/repetition.
        state: one of `store.STATES`.
        iteration, num_iterations: steps done and wanted.
        loss: mean of the latest steps.
        criterion, best: the score that selects, and the best so far.
        iterations_per_second: over the latest steps.
        seconds_left: of training alone, at this speed; NaN unless it runs.
        who: the process or job that has it.
        error: why it failed.
        log: the file that tells more.
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


def main() -> None:
    """The command line."""
    with one_line_errors():
        asked = from_arguments(StatusConfig, sys.argv[1:])
        if asked is None:
            return
        if asked.interval <= 0:
            raise InputError(f"interval={asked.interval} must be positive")
        runs_dir = Path(asked.runs_dir)
        if asked.watch:
            _watch(runs_dir, asked)
        else:
            _show(look(runs_dir), asked.json)


def look(runs_dir: Path) -> list[Progress]:
    """All runs below a folder, by name and repetition.

    Raises:
        InputError: there is none.
    """
    folders = find_run_folders(runs_dir)
    if not folders:
        raise InputError(f"runs_dir={runs_dir}: no runs there")
    return [_progress(folder) for folder in folders]


def _progress(folder: RunFolder) -> Progress:
    history = folder.read_history()
    state = read_state(folder, history)
    document = history.document or folder.read_document()
    wanted = int(document["config"].get("num_iterations", 0))
    recent = history.steps[-_RECENT:]
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
        best=best[2] if best is not None else math.nan,
        iterations_per_second=float(1 / seconds) if seconds else math.nan,
        seconds_left=float(left),
        who=state.who,
        error=state.error,
        log=state.log,
    )


def _show(runs: Sequence[Progress], as_json: bool) -> None:
    if as_json:
        for run in runs:
            plain = {k: None if v != v else v for k, v in asdict(run).items()}  # JSON has no NaN
            print(json.dumps(plain))
        return
    from dacapo.training.terminal import console, table

    console.print(summary(runs))
    table("Runs", _COLUMNS, [_row(run) for run in runs])
    for run in runs:
        if run.error:
            log = f" (log: {run.log})" if run.log else ""
            console.print(f"{run.state}: {run.run}: {run.error}{log}")


def summary(runs: Sequence[Progress]) -> str:
    """How many there are of each state."""
    count = Counter(run.state for run in runs)
    return f"{len(runs)} runs: " + ", ".join(f"{count[s]} {s}" for s in STATES if count[s])


_COLUMNS = ["run", "state", "iteration", "loss", "best", "it/s", "left", "who"]


def _row(run: Progress) -> list[str]:
    best = "" if math.isnan(run.best) else f"{run.criterion} {run.best:.3f}"
    return [
        run.run,
        run.state,
        f"{run.iteration}/{run.num_iterations}",
        _number(run.loss, ".4f"),
        best,
        _number(run.iterations_per_second, ".2f"),
        _time(run.seconds_left),
        run.who if run.state in ("running", "waiting") else "",
    ]


def _number(value: float, form: str) -> str:
    return "" if math.isnan(value) else format(value, form)


def _time(seconds: float) -> str:
    """Hours and minutes.

    >>> _time(3700.0), _time(float("nan"))
    ('1:01:40', '')
    """
    if math.isnan(seconds):
        return ""
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def _watch(runs_dir: Path, asked: StatusConfig) -> None:
    """Look again and again; in a terminal in place."""
    from dacapo.training.terminal import console

    while True:
        runs = look(runs_dir)
        if console.is_terminal and not asked.json:
            console.clear()
            console.print(time.strftime("%H:%M:%S"))
        _show(runs, asked.json)
        if not any(run.state in ("running", "waiting", "preempted") for run in runs):
            return
        time.sleep(asked.interval)


if __name__ == "__main__":
    main()
