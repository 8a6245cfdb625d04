"""All runs below a folder side by side: in tables and in one xarray Dataset."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dacapo.comparison.choose import chosen, read_all
from dacapo.comparison.collect import check_output, collect, write_dataset
from dacapo.comparison.configurations import compare_scores, compare_validation
from dacapo.comparison.records import Unreadable
from dacapo.comparison.run_record import RunRecord
from dacapo.comparison.test_scores import (
    FinalScores,
    VolumeScore,
    add_test_scores,
    read_final_scores,
    score_test_runs,
)
from dacapo.comparison.verdict import Comparison, summary
from dacapo.comparison.verdict_tables import print_comparison
from dacapo.errors import printable, warn
from dacapo.processes.files import write_atomically
from dacapo.runs import FAILURES, RunState, UnreadableError
from dacapo.sweeps.asha import savings
from dacapo.training.terminal import console, counted, print_table

if TYPE_CHECKING:
    from dacapo.experiments.datasplits import VolumeConfig

_MAX_ROWS = 200
"""Up to so many runs are listed individually; a longer list is hard to read."""


@dataclass(frozen=True)
class CompareOptions:
    """What to compare, and how.

    Attributes:
        output: of the Dataset; None: in the folder of the runs.
        test: score test volumes that were not scored yet.
        volumes: test volumes, instead of those of the runs.
        reason: why test volumes are opened.
        baseline, margin: see `Comparison`.
        json: print plain data, for scripts.
        report: a page to write; None: none.
        where: see `chosen`; empty: all runs.
        more: further folders with runs.
        segmentations: see `with_segmentations`.
    """

    output: Path | None = None
    test: bool = False
    volumes: Mapping[str, VolumeConfig] = field(default_factory=dict)
    reason: str = ""
    baseline: str | None = None
    margin: float | None = None
    json: bool = False
    report: Path | None = None
    where: Sequence[str] = ()
    more: Sequence[Path] = ()
    segmentations: Mapping[str, Any] = field(default_factory=dict)


def compare(runs_dir: Path, options: CompareOptions | None = None) -> list[str]:
    """Print, collect and write the scores of all runs; returns the labels of failed runs."""
    options = options or CompareOptions()
    runs, unreadable = read_all([runs_dir, *options.more])
    states = {run.label: run.state() for run in runs}
    names = {label: state.name for label, state in states.items()}
    if options.where:
        runs = chosen(runs, names, options.where)
        names = {run.label: names[run.label] for run in runs}
        states = {run.label: states[run.label] for run in runs}
    if options.test:
        idle = [run for run in runs if names[run.label] not in ("running", "waiting")]
        score_test_runs(idle, runs_dir, options.volumes, options.reason)
    tested = _final_scores(runs)
    scores = {label: record.latest() for label, record in tested.items()}
    wanted = options.baseline, options.margin
    comparisons = [
        *compare_validation(runs, names, *wanted),
        *_compare_tests(runs, names, scores, *wanted),
    ]
    if options.segmentations:
        from dacapo.comparison.elsewhere import with_segmentations

        part = "test" if options.test else "validate"
        comparisons = [
            with_segmentations(c, runs, options.segmentations, options.volumes)
            if c.part == part else c
            for c in comparisons
        ]  # fmt: skip
    failed = [label for label, state in names.items() if state in FAILURES]
    failed += [run.label for run in unreadable]
    if not options.json:
        _print_tables(runs, names)
        for comparison in comparisons:
            print_comparison(comparison)
        _print_final_scores(runs, tested)
        _print_troubles(runs, states, unreadable)
    path = options.output or runs_dir / "comparison.nc"
    check_output(path)
    write_dataset(add_test_scores(collect(runs), scores), path)
    if options.report is not None:
        from dacapo.comparison.report import report

        folders = " and ".join(path.name for path in (runs_dir, *options.more))
        page = report(comparisons, runs, states, f"Comparison of the runs in {folders}")
        write_atomically(options.report, page.encode())
    if options.json:
        plain = {
            "comparisons": [summary(comparison) for comparison in comparisons],
            "states": names,
            "failed": failed,
            "dataset": str(path),
        }
        print(json.dumps(plain, indent=2, allow_nan=False))
        return failed
    refused = sum(state.name == "refused" for state in states.values())
    at_work = sum(name in ("running", "waiting") for name in names.values())
    others = f", {refused} refused" if refused else ""
    others += f", {at_work} not yet trained" if at_work else ""
    console.print(
        f"{counted(len(runs) + len(unreadable), 'run')}, {len(failed)} failed{others}; "
        f"their scores: {path}"
    )
    return failed


def _final_scores(runs: Sequence[RunRecord]) -> dict[str, FinalScores]:
    """Run -> its test scores, of the runs that have some."""
    found = {}
    for run in runs:
        try:
            record = read_final_scores(run.folder)
        except UnreadableError as error:
            warn(f"{run.label}: its test scores are left out: {error}")
            continue
        if record.scores:
            found[run.label] = record
    return found


def _compare_tests(
    runs: Sequence[RunRecord],
    states: Mapping[str, str],
    scores: Mapping[str, Mapping[str, VolumeScore]],
    baseline: str | None,
    margin: float | None,
) -> list[Comparison]:
    """Compare by test scores of the iterations that validation selects now."""
    digests = {label: {v: s.digest for v, s in own.items()} for label, own in scores.items()}
    current = {
        run.label: scores[run.label]
        for run in runs
        if run.label in scores
        and run.best is not None
        and {s.iteration for s in scores[run.label].values()} == {run.best.iteration}
    }
    found = _selected(runs, current)
    return compare_scores(runs, states, found, digests, "test", baseline, margin)


def _selected(
    runs: Sequence[RunRecord], scores: Mapping[str, Mapping[str, VolumeScore]]
) -> dict[str, dict[str, float]]:
    """Run -> volume -> score by the criterion that selects."""
    return {
        run.label: {
            volume: score.values().get(run.header.selected_by, np.nan)
            for volume, score in sorted(scores[run.label].items())
        }
        for run in runs
        if run.header is not None and run.label in scores
    }


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
        iterations = {score.iteration for score in by_run[run.label].values()}
        if run.best is not None and iterations != {run.best.iteration}:
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
            f"the test scores of {', '.join(old)} are not of the iteration that validation selects "
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
