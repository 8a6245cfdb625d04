"""All runs below a folder side by side: in tables and in one xarray Dataset."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from dacapo.comparison.collect import check_output, collect, write_dataset
from dacapo.comparison.gather import CompareOptions, gather
from dacapo.comparison.records import Unreadable
from dacapo.comparison.run_record import RunRecord
from dacapo.comparison.test_scores import FinalScores, add_test_scores
from dacapo.comparison.verdict import summary
from dacapo.comparison.verdict_tables import print_comparison
from dacapo.errors import printable
from dacapo.processes.files import write_atomically
from dacapo.runs import FAILURES, RunState
from dacapo.sweeps.asha import savings
from dacapo.training.terminal import console, counted, print_table

_MAX_ROWS = 200
"""Up to so many runs are listed individually; a longer list is hard to read."""


def compare(runs_dir: Path, options: CompareOptions | None = None) -> list[str]:
    """Print, collect and write the scores of all runs; returns the labels of failed runs."""
    options = options or CompareOptions()
    found = gather(runs_dir, options)
    if not options.json:
        _print_tables(found.runs, found.names)
        for comparison in found.comparisons:
            print_comparison(comparison)
        _print_final_scores(found.runs, found.tested)
        _print_troubles(found.runs, found.states, found.unreadable)
    name = "comparison_of_some.nc" if options.where or options.more else "comparison.nc"
    path = options.output or runs_dir / name
    check_output(path)
    write_dataset(add_test_scores(collect(found.runs), found.test_scores), path)
    if options.report is not None:
        from dacapo.comparison.report import report

        write_atomically(options.report, report(found).encode())
    if options.json:
        plain = {
            "comparisons": [summary(comparison) for comparison in found.comparisons],
            "states": found.names,
            "failed": found.failed,
            "dataset": str(path),
        }
        print(json.dumps(plain, indent=2, allow_nan=False))
        return found.failed
    refused = sum(name == "refused" for name in found.names.values())
    at_work = sum(name in ("running", "waiting") for name in found.names.values())
    others = f", {refused} refused" if refused else ""
    others += f", {at_work} not yet trained" if at_work else ""
    num_runs = counted(len(found.runs) + len(found.unreadable), "run")
    console.print(f"{num_runs}, {len(found.failed)} failed{others}; their scores: {path}")
    return found.failed


def _print_troubles(
    runs: Sequence[RunRecord], states: Mapping[str, RunState], unreadable: Sequence[Unreadable]
) -> None:
    """Print what failed, was refused, cannot be read or is damaged."""
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


def _print_tables(runs: Sequence[RunRecord], states: Mapping[str, str]) -> None:
    """Print each run with its scores at its best iteration and parameters."""
    criteria = list(dict.fromkeys(name for run in runs for name in _headlines(run)))
    if len(runs) > _MAX_ROWS:
        console.print(f"{len(runs)} runs; python -m dacapo.status lists each")
    print_table(
        "Runs",
        ["run", "status", "trained", "best at", *criteria, "parameters"],
        [_row(run, states[run.label], criteria) for run in runs] if len(runs) <= _MAX_ROWS else [],
        "Iteration and parameters were chosen on these same data: scores are a little optimistic.",
    )


def _print_final_scores(runs: Sequence[RunRecord], tested: Mapping[str, FinalScores]) -> None:
    """Print each run with its mean over the test volumes, and how often they were opened."""
    if not tested:
        return
    by_run = {label: record.latest() for label, record in tested.items()}
    criteria = list(dict.fromkeys(c for s in by_run.values() for v in s.values() for c in v.scores))
    shown = [c for c in criteria if any(c in _headlines(run) for run in runs)]
    rows, old = [], []
    for run in runs:
        if run.label not in by_run:
            continue
        scores = [score.values() for score in by_run[run.label].values()]
        means = [np.mean([values.get(c, np.nan) for values in scores]) for c in shown]
        rows.append([run.label, *(f"{m:.3f}" for m in means)])
        if not all(score.is_selected(run.best) for score in by_run[run.label].values()):
            old.append(run.label)
    openings = [opening for record in tested.values() for opening in record.openings]
    times = {opening.time[:10] for opening in openings} or {"unknown"}
    users = {opening.user for opening in openings} or {"unknown"}
    print_table(
        "Test",
        ["run", *shown],
        rows,
        f"Iteration and parameters were chosen by validation. Opened {len(openings)} times for "
        f"{counted(len(tested), 'run')}, by {', '.join(sorted(users))}, {min(times)} to "
        f"{max(times)}.",
    )
    if old:
        console.print(
            f"the test scores of {', '.join(old)} are not of what validation selects "
            f"now: test=true scores that"
        )


def _headlines(run: RunRecord) -> list[str]:
    """The criteria of a run that tables show."""
    header = run.header
    return [] if header is None else [
        c["name"] for c in header.criteria
        if c.get("store_best", 1) or c["name"] == header.selected_by
    ]  # fmt: skip


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
