"""All runs below a folder side by side: in tables and in one xarray Dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dacapo.comparison.collect import RunRecord, collect, read_runs, write_dataset
from dacapo.runs import FAILURES
from dacapo.sweeps.asha import savings
from dacapo.training.terminal import console, counted, print_table

if TYPE_CHECKING:
    from dacapo.comparison.test_scores import Scores

_MAX_ROWS = 200
"""Up to so many runs are listed individually; a longer list is hard to read."""


def compare(runs_dir: Path, output: Path | None = None, test: bool = False) -> list[str]:
    """Collect, write and print the scores of all runs; returns the labels of failed runs.

    Args:
        test: also score the test volumes.
    """
    runs = read_runs(runs_dir)
    dataset = collect(runs)
    test_scores: dict[str, Scores] = {}
    if test:
        from dacapo.comparison.test_scores import add_test_scores, score_test_runs

        test_scores = score_test_runs(runs, runs_dir)
        dataset = add_test_scores(dataset, test_scores)
    path = write_dataset(dataset, output or runs_dir / "comparison.nc")
    _print_tables(runs)
    if test_scores:
        _print_test_scores(test_scores)
    failed = [run for run in runs if run.status in FAILURES]
    for run in failed:
        log = f" (log: {run.state.log})" if run.state.log else ""
        console.print(f"{run.status}: {run.label}: {run.state.error}{log}")
    saved = savings([(run.history, run.num_iterations) for run in runs])
    if saved is not None:
        console.print(str(saved))
    at_work = [run for run in runs if run.status in ("running", "waiting")]
    others = f", {len(at_work)} not yet trained" if at_work else ""
    console.print(
        f"{counted(len(runs), 'run')}, {len(failed)} failed{others}; their scores: {path}"
    )
    return [run.label for run in failed]


def _print_tables(runs: Sequence[RunRecord]) -> None:
    """Print each run with its scores at its best iteration and parameters; then each config."""
    headers = [run.history.header for run in runs if run.history.header is not None]
    criteria = list(
        dict.fromkeys(
            c["name"]
            for header in headers
            for c in header.criteria
            if c.get("store_best", 1) or c["name"] == header.selected_by
        )
    )
    if len(runs) > _MAX_ROWS:
        console.print(f"{len(runs)} runs; python -m dacapo.status lists each")
    print_table(
        "Runs",
        ["run", "status", "trained", "best at", *criteria, "parameters"],
        [_row(run, criteria) for run in runs] if len(runs) <= _MAX_ROWS else [],
        "Iteration and parameters were chosen on these same data: scores are a little optimistic.",
    )
    by_name: dict[tuple[str, str], list[float]] = {}
    for run in runs:
        if run.best is not None and run.history.header is not None:
            key = run.document["config"]["name"], run.history.header.selected_by
            by_name.setdefault(key, []).append(run.best.value)
    rows = []
    for (name, criterion), values in by_name.items():
        spread = f"{np.std(values, ddof=1):.3f}" if len(values) > 1 else ""
        numbers = [f"{np.mean(values):.3f}", spread, f"{min(values):.3f}", f"{max(values):.3f}"]
        rows.append([name, criterion, f"{len(values)}", *numbers])
    print_table("Configs", ["name", "criterion", "runs", "mean", "sd", "min", "max"], rows)


def _print_test_scores(test_scores: Mapping[str, Scores]) -> None:
    """Print each run with its mean over the test volumes."""
    criteria = list(dict.fromkeys(c for s in test_scores.values() for v in s.values() for c in v))
    rows = []
    for label, scores in test_scores.items():
        means = [np.mean([v.get(c, np.nan) for v in scores.values()]) for c in criteria]
        rows.append([label, *(f"{m:.3f}" for m in means)])
    print_table(
        "Test",
        ["run", *criteria],
        rows,
        "Iteration and parameters were chosen by validation, before these volumes were scored.",
    )


def _row(run: RunRecord, criteria: Sequence[str]) -> list[str]:
    header = run.history.header
    row = [run.label, run.status, f"{run.history.trained_until}"]
    if run.best is None or header is None:
        return [*row, "", *[""] * len(criteria), "no scores"]
    names = [c["name"] for c in header.criteria]
    scores = {name: f"{mean:.3f}" for name, mean in zip(names, run.means, strict=True)}
    return [
        *row,
        f"{run.best.iteration}",
        *(scores.get(criterion, "") for criterion in criteria),
        run.best.label,
    ]
