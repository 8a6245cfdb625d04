"""What a comparison is made of: runs, their states and scores, and what follows from these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dacapo.comparison.choose import chosen, read_all, with_folds_named
from dacapo.comparison.configurations import compare_scores, compare_validation
from dacapo.comparison.grouping import grouped
from dacapo.comparison.records import Unreadable
from dacapo.comparison.run_record import RunRecord
from dacapo.comparison.test_scores import (
    FinalScores,
    VolumeScore,
    read_final_scores,
    score_test_runs,
)
from dacapo.comparison.verdict import Comparison
from dacapo.errors import warn
from dacapo.experiments.score_table import Rule
from dacapo.runs import FAILURES, RunState, UnreadableError

if TYPE_CHECKING:
    from dacapo.experiments.datasplits import VolumeConfig


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
        rule: how iterations and parameters are selected.
        group: see `grouped`; empty: none.
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
    rule: Rule = Rule.best
    group: Sequence[str] = ()


@dataclass(frozen=True)
class Gathered:
    """All that a comparison shows.

    Attributes:
        title: names the folders.
        states: run -> its state.
        tested: run -> its test scores, of the runs that have some.
    """

    title: str
    runs: Sequence[RunRecord]
    unreadable: Sequence[Unreadable]
    states: Mapping[str, RunState]
    comparisons: Sequence[Comparison]
    tested: Mapping[str, FinalScores]

    @cached_property
    def names(self) -> dict[str, str]:
        """Run -> the name of its state."""
        return {label: state.name for label, state in self.states.items()}

    @cached_property
    def failed(self) -> list[str]:
        """The labels of runs that failed or cannot be read."""
        failed = [label for label, name in self.names.items() if name in FAILURES]
        return failed + [run.label for run in self.unreadable]

    @cached_property
    def test_scores(self) -> dict[str, dict[str, VolumeScore]]:
        """Run -> volume -> its newest score."""
        return {label: record.latest() for label, record in self.tested.items()}


def gather(runs_dir: Path, options: CompareOptions) -> Gathered:
    """Read runs and compare them; test volumes are scored only if the options say so.

    Raises:
        InputError: there are no runs, or an option does not fit them.
    """
    runs, unreadable = read_all([runs_dir, *options.more])
    states = {run.label: run.state() for run in runs}
    names = {label: state.name for label, state in states.items()}
    if options.where:
        runs = chosen(runs, names, options.where)
        states = {run.label: states[run.label] for run in runs}
    runs = with_folds_named(runs)
    if options.rule is not Rule.best:
        runs = [_selected_by(run, options.rule) for run in runs]
    if options.test:
        idle = [run for run in runs if names[run.label] not in ("running", "waiting")]
        score_test_runs(idle, runs_dir, options.volumes, options.reason, options.rule)
    tested = _final_scores(runs)
    scores = {label: record.latest() for label, record in tested.items()}
    wanted = None if options.group else options.baseline, options.margin
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
    if options.group:
        comparisons = grouped(comparisons, options.group, options.baseline)
    folders = " and ".join(path.name for path in (runs_dir, *options.more))
    title = f"Comparison of the runs in {folders}"
    return Gathered(title, runs, unreadable, states, comparisons, tested)


def _selected_by(run: RunRecord, rule: Rule) -> RunRecord:
    """A run with what another rule selects."""
    table = run.table() if run.best is not None else None
    best = None if table is None else table.best(rule=rule)
    if table is None or best is None:
        return run
    means = [float(mean) for mean in table.means[best.index, best.parameters]]
    return replace(run, best=best, means=means)


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
    """Compare by test scores of what validation selects now."""
    digests = {label: {v: s.digest for v, s in own.items()} for label, own in scores.items()}
    current = {
        run.label: scores[run.label]
        for run in runs
        if run.label in scores
        and all(score.is_selected(run.best) for score in scores[run.label].values())
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
