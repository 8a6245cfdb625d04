"""All runs below a folder side by side: in tables and in one xarray Dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dacapo.comparison.collect import check_output, collect, write_dataset
from dacapo.comparison.records import read_records
from dacapo.comparison.run_record import RunRecord
from dacapo.comparison.verdict import compare_scores, compare_validation
from dacapo.comparison.verdict_tables import print_comparison
from dacapo.errors import printable
from dacapo.runs import FAILURES
from dacapo.sweeps.asha import savings
from dacapo.training.terminal import console, counted, print_table

if TYPE_CHECKING:
    from dacapo.comparison.test_scores import Scores

_MAX_ROWS = 200
"""Up to so many runs are listed individually; a longer list is hard to read."""


def compare(
    runs_dir: Path,
    output: Path | None = None,
    test: bool = False,
    baseline: str | None = None,
    margin: float | None = None,
) -> list[str]:
    """Print, collect and write the scores of all runs; returns the labels of failed runs.

    Args:
        test: also score the test volumes.
        baseline, margin: see `Comparison`.
    """
    runs, unreadable = read_records(runs_dir)
    states = {run.label: run.state() for run in runs}
    names = {label: state.name for label, state in states.items()}
    _print_tables(runs, names)
    for comparison in compare_validation(runs, names, baseline, margin):
        print_comparison(comparison)
    failed = [state for state in states.items() if state[1].name in FAILURES]
    refused = [state for state in states.items() if state[1].name == "refused"]
    for label, state in (*failed, *refused):
        log = f" (log: {state.log})" if state.log else ""
        console.print(printable(f"{state.name}: {label}: {state.error}{log}"))
    for bad in unreadable:
        console.print(printable(f"unreadable: {bad.label}: {bad.error}"))
    for run in runs:
        for damage in run.damage:
            console.print(printable(f"damaged: {run.label}: {damage}"))
    saved = savings([(run, run.num_iterations) for run in runs])
    if saved is not None:
        console.print(str(saved))
    path = output or runs_dir / "comparison.nc"
    check_output(path)
    dataset = collect(runs)
    if test:
        from dacapo.comparison.test_scores import add_test_scores, score_test_runs

        done = [label for label, state in states.items() if state.name == "done"]
        test_scores = score_test_runs(done, runs_dir)
        dataset = add_test_scores(dataset, test_scores)
        _print_test_scores(test_scores)
        selected = {run.label: run.header.selected_by for run in runs if run.header is not None}
        scores = {
            label: {volume: values[selected[label]] for volume, values in found.items()}
            for label, found in test_scores.items()
        }
        for comparison in compare_scores(runs, names, scores, "test", baseline, margin):
            print_comparison(comparison)
    write_dataset(dataset, path)
    at_work = [s for s in states.values() if s.name in ("running", "waiting")]
    others = f", {len(refused)} refused" if refused else ""
    others += f", {len(at_work)} not yet trained" if at_work else ""
    labels = [*(label for label, _ in failed), *(run.label for run in unreadable)]
    console.print(
        f"{counted(len(runs) + len(unreadable), 'run')}, {len(labels)} failed{others}; "
        f"their scores: {path}"
    )
    return labels


def _print_tables(runs: Sequence[RunRecord], states: Mapping[str, str]) -> None:
    """Print each run with its scores at its best iteration and parameters."""
    headers = [run.header for run in runs if run.header is not None]
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
        [_row(run, states[run.label], criteria) for run in runs] if len(runs) <= _MAX_ROWS else [],
        "Iteration and parameters were chosen on these same data: scores are a little optimistic.",
    )


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


def _row(run: RunRecord, state: str, criteria: Sequence[str]) -> list[str]:
    row = [run.label, state, f"{run.trained_until}"]
    if run.best is None or run.header is None:
        return [*row, "", *[""] * len(criteria), "no scores"]
    names = [c["name"] for c in run.header.criteria]
    scores = {name: f"{mean:.3f}" for name, mean in zip(names, run.means, strict=True)}
    return [
        *row,
        f"{run.best.iteration}",
        *(scores.get(criterion, "") for criterion in criteria),
        run.best.label,
    ]
