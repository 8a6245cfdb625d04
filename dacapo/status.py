"""`python -m dacapo.status runs_dir=...`: state and progress of all runs."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dacapo.cli import run_command
from dacapo.config import Config, config, ranged
from dacapo.errors import printable

if TYPE_CHECKING:
    from dacapo.comparison.progress import Progress


@config(None)
@dataclass(kw_only=True)
class StatusConfig(Config):
    """Show state and progress of all runs below a folder."""

    runs_dir: str = "runs"
    """Folder that holds the runs."""
    watch: bool = False
    """Refresh every `interval` seconds, until Ctrl-C or until all runs have ended."""
    interval: float = ranged(5.0, above=0)
    """Seconds between refreshes."""
    json: bool = False
    """Print one JSON object per run instead of a table, for scripts."""


def main() -> None:
    """The command line."""
    run_command(StatusConfig, status)


def status(options: StatusConfig) -> None:
    """Print a table, once or repeatedly."""
    from dacapo.comparison.progress import read_progress
    from dacapo.training.terminal import console

    while True:
        runs = read_progress(Path(options.runs_dir))
        if options.watch and console.is_terminal and not options.json:
            console.clear()
            console.print(time.strftime("%H:%M:%S"))
        _show(runs, options.json)
        is_moving = any(run.state in ("running", "waiting", "preempted") for run in runs)
        if not (options.watch and is_moving):
            return
        time.sleep(options.interval)


def _show(runs: Sequence[Progress], as_json: bool) -> None:
    if as_json:
        for run in runs:
            plain = {k: None if v != v else v for k, v in asdict(run).items()}  # JSON has no NaN
            print(json.dumps(plain))
        return
    from dacapo.comparison.progress import summary
    from dacapo.training.terminal import console, print_table

    console.print(summary(runs))
    print_table("Runs", _COLUMNS, [_row(run) for run in runs])
    for run in runs:
        if run.error:
            log = f" (log: {run.log})" if run.log else ""
            console.print(printable(f"{run.state}: {run.run}: {run.error}{log}"))


_COLUMNS = ["run", "state", "iteration", "loss", "best", "it/s", "of step", "left", "who"]


def _row(run: Progress) -> list[str]:
    from dacapo.training.terminal import duration

    best = "" if math.isnan(run.best) else f"{run.criterion} {run.best:.3f}"
    return [
        run.run,
        run.state,
        f"{run.iteration}/{run.num_iterations}",
        _number(run.loss, ".4f"),
        best,
        _number(run.iterations_per_second, ".2f"),
        _number(run.loop_efficiency, ".0%"),
        "" if math.isnan(run.seconds_left) else duration(run.seconds_left),
        run.who if run.state in ("running", "waiting") else "",
    ]


def _number(value: float, form: str) -> str:
    return "" if math.isnan(value) else format(value, form)


if __name__ == "__main__":
    main()
