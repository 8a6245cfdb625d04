"""Which runs are compared: those of several folders, and of these the ones that were asked for."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from dacapo.comparison.records import Unreadable, read_records
from dacapo.comparison.run_record import RunRecord
from dacapo.errors import InputError, did_you_mean
from dacapo.runs import RunFolder

FOLD = "datasplit.fold"


def read_all(runs_dirs: Sequence[Path]) -> tuple[list[RunRecord], list[Unreadable]]:
    """The runs of several folders; their labels tell them apart.

    Raises:
        InputError: a folder holds no runs, or is named twice.
    """
    if len({path.resolve() for path in runs_dirs}) < len(runs_dirs) or not runs_dirs:
        raise InputError(f"runs_dir={[str(path) for path in runs_dirs]}: name each folder once")
    found = [read_records(path) for path in runs_dirs]
    # One name in two folders may stand for two configurations.
    names = Counter(name for runs, _ in found for name in {run.configuration for run in runs})
    if all(count == 1 for count in names.values()):
        prefixes = [""] * len(runs_dirs)
    else:
        prefixes = [f"{prefix}/" for prefix in _short_names(runs_dirs)]
    return (
        [
            replace(run, folder=RunFolder(run.folder.path, prefix))
            for prefix, (runs, _) in zip(prefixes, found, strict=True)
            for run in runs
        ],
        [
            replace(run, label=prefix + run.label)
            for prefix, (_, unreadable) in zip(prefixes, found, strict=True)
            for run in unreadable
        ],
    )


def with_folds_named(runs: Sequence[RunRecord]) -> list[RunRecord]:
    """The runs with one name for all folds of a configuration.

    Raises:
        InputError: a fold of a repetition occurs twice.
    """
    names: dict[tuple[object, ...], str] = {}
    seen: dict[tuple[object, ...], RunRecord] = {}
    for run in sorted((r for r in runs if r.fold is not None), key=lambda r: r.fold or 0):
        names.setdefault(_but_fold(run), run.configuration)
        other = seen.setdefault((*_but_fold(run), run.fold, run.repetition), run)
        if other is not run:
            raise InputError(
                f"{other.label} and {run.label} are the same fold of the same repetition: leave "
                f"one out, as with where=[name=...]"
            )
    return [
        run if run.fold is None else replace(run, shared_name=names[_but_fold(run)])
        for run in runs
    ]  # fmt: skip


def _but_fold(run: RunRecord) -> tuple[object, ...]:
    """What the folds of a configuration have in common."""
    options = {key: value for key, value in run.overrides.items() if key != FOLD}
    return run.folder.path.parent.parent, frozenset({**run.choices, **options}.items())


def _short_names(paths: Sequence[Path]) -> list[str]:
    """What is left of paths without what all of them share.

    >>> _short_names([Path("/lab/a/runs"), Path("/lab/b/runs")])
    ['a/runs', 'b/runs']
    """
    whole = [path.resolve() for path in paths]
    shared = Path(os.path.commonpath([path.parent for path in whole]))
    return [path.relative_to(shared).as_posix() for path in whole]


def chosen(
    runs: Sequence[RunRecord], states: Mapping[str, str], where: Sequence[str]
) -> list[RunRecord]:
    """The runs that meet all conditions.

    Args:
        states: run -> the name of its state.
        where: conditions like `task=affinities`; several values of one key, one of which must hold,
            are separated by `|`.

    Raises:
        InputError: a condition names what no run has, or no run meets all of them.
    """
    facts = {run.label: _facts(run, states[run.label]) for run in runs}
    known = sorted({key for own in facts.values() for key in own})
    left = list(runs)
    for condition in where:
        key, separator, wanted = condition.partition("=")
        if not separator or key not in known:
            raise InputError(
                f"where={condition}: give KEY=VALUE{did_you_mean(key, known)}; the keys are "
                f"{', '.join(known)}"
            )
        values = set(wanted.split("|"))
        found = [run for run in left if facts[run.label].get(key, "default") in values]
        if not found:
            there = sorted({facts[run.label].get(key, "default") for run in left})
            raise InputError(f"where={condition}: no run is left; {key} is {', '.join(there)}")
        left = found
    return left


def _facts(run: RunRecord, state: str) -> dict[str, str]:
    return {
        **run.choices, **run.overrides, "name": run.name, "repetition": str(run.repetition),
        "status": state,
    }  # fmt: skip
