"""From the runs of a folder to the comparisons that can be made of them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from dacapo.comparison.choose import FOLD
from dacapo.comparison.run_record import COSTS, RunRecord
from dacapo.comparison.verdict import Comparison, Configuration
from dacapo.config import without_influence
from dacapo.errors import InputError, did_you_mean
from dacapo.experiments.run_config import GROUPS
from dacapo.runs import FAILURES, UnreadableError

RunScores = Mapping[str, Mapping[str, float]]
"""Run -> volume -> score."""

_OF_OBJECTS_ALONE = ("voi", "adapted_rand")
"""Criteria that use only the voxels of ground-truth objects."""
_UNFINISHED = ("running", "waiting", "interrupted", "preempted")


def compare_validation(
    runs: Sequence[RunRecord], states: Mapping[str, str], baseline: str | None, margin: float | None
) -> list[Comparison]:
    """Compare by the scores that validation selected."""
    found: dict[str, dict[str, float]] = {}
    for run in runs:
        if states[run.label] != "done" or run.best is None:
            continue
        try:
            table = run.table()
        except (UnreadableError, FileNotFoundError):  # `collect` says so
            continue
        if table is not None:
            at, _ = table.header.find()
            values = table.values[run.best.index, :, run.best.parameters, at]
            found[run.label] = dict(zip(table.header.datasets, map(float, values), strict=True))
    digests = {
        run.label: {v: run.digests.get(f"validate/{v}", "") for v in found[run.label]}
        for run in runs if run.label in found
    }  # fmt: skip
    return compare_scores(runs, states, found, digests, "validate", baseline, margin)


def compare_scores(
    runs: Sequence[RunRecord],
    states: Mapping[str, str],
    scores: RunScores,
    digests: Mapping[str, Mapping[str, str]],
    part: str,
    baseline: str | None = None,
    margin: float | None = None,
) -> list[Comparison]:
    """Compare configurations whose finished runs share a criterion and volumes.

    Args:
        states: run -> the name of its state.
        digests: run -> volume -> what identifies its voxels; empty if unknown.
        part: validate or test.
        baseline: the name or label of a configuration.

    Raises:
        InputError: there is no such baseline.
    """
    configurations = _configurations(runs, states)
    if baseline is not None and runs:
        baseline = _find(baseline, list(configurations.values()))
    done = [
        run for run in runs
        if run.header is not None and run.label in scores and states[run.label] == "done"
    ]  # fmt: skip
    done, scores, digests = _without_folds(done, scores, digests)
    kinds: dict[str, list[RunRecord]] = {}
    for run in done:
        kinds.setdefault(repr(_definition(run)), []).append(run)
    apart = list(_scored_apart([group[0] for group in kinds.values()])) if len(kinds) > 1 else []
    groups = [group for own in kinds.values() for group in _on_same_volumes(own, scores, digests)]
    found = []
    for number, (own, volumes, warnings) in enumerate(groups):
        header = own[0].header
        assert header is not None
        names = list(dict.fromkeys(run.configuration for run in own))
        if number == 0:  # those without any score are on no side
            scored = {run.configuration for group in groups for run in group[0]}
            names += [name for name in configurations if name not in scored]
        repetitions = sorted({run.repetition for run in own})
        values = np.full((len(names), len(repetitions), len(volumes)), np.nan)
        for run in own:
            if run.best is not None and not run.best.collapsed:
                at = names.index(run.configuration), repetitions.index(run.repetition)
                values[at] = [scores[run.label][volume] for volume in volumes]
        at_criterion, higher = header.find()
        units = str(header.criteria[at_criterion].get("units", ""))
        found.append(
            Comparison(
                header.selected_by, units, higher, part,
                [configurations[name] for name in names], repetitions, volumes, values,
                names.index(baseline) if baseline in names else None, margin,
                [*(apart if number == 0 else ()), *warnings, *_missing(own, scores, volumes),
                 *_warnings(own), *_blind_spots(own[0], volumes)],
                are_folds=part == "validate" and any(run.fold is not None for run in own),
            )
        )  # fmt: skip
    return found


def _without_folds(
    runs: Sequence[RunRecord], scores: RunScores, digests: Mapping[str, Mapping[str, str]]
) -> tuple[list[RunRecord], dict[str, dict[str, float]], dict[str, dict[str, str]]]:
    """The first fold of each repetition, with the scores of all: a fold is a volume of its own.

    A repetition that lacks a fold has no score at all; of a volume that all folds have scored, the
    mean counts.
    """
    together: dict[tuple[str, int], dict[int, RunRecord]] = {}
    volumes: dict[str, dict[str, str]] = {}
    for run in sorted(runs, key=lambda run: run.fold or 0):
        together.setdefault((run.configuration, run.repetition), {})[run.fold or 0] = run
        for volume, digest in digests[run.label].items():
            volumes.setdefault(run.configuration, {}).setdefault(volume, digest)
    every = {run.fold for run in runs if run.fold is not None}
    first = []
    merged_scores: dict[str, dict[str, float]] = {}
    merged_digests: dict[str, dict[str, str]] = {}
    for own in together.values():
        run = next(iter(own.values()))
        first.append(run)
        if run.fold is None:
            merged_scores[run.label] = dict(scores[run.label])
            merged_digests[run.label] = dict(digests[run.label])
            continue
        known = [(fold, scores[fold.label]) for fold in own.values()]
        mine = {v: d for fold in own.values() for v, d in digests[fold.label].items()}
        merged_digests[run.label] = {**volumes[run.configuration], **mine}
        merged_scores[run.label] = {
            volume: _mean([_counted(fold, of[volume]) for fold, of in known if volume in of])
            if own.keys() == every
            else math.nan
            for volume in merged_digests[run.label]
        }
    return first, merged_scores, merged_digests


def _counted(run: RunRecord, score: float) -> float:
    return math.nan if run.best is None or run.best.collapsed else score


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan


def _on_same_volumes(
    runs: Sequence[RunRecord], scores: RunScores, digests: Mapping[str, Mapping[str, str]]
) -> list[tuple[list[RunRecord], list[str], list[str]]]:
    """Runs that can be compared, the volumes that all of them have, and warnings."""
    known: dict[str, set[str]] = {}
    for run in runs:
        for volume in scores[run.label]:
            known.setdefault(volume, set()).add(digests[run.label].get(volume, ""))
    warnings = [
        f"whether {volume} was the same volume for all runs is not known"
        for volume, found in known.items() if "" in found and len(found) > 1
    ]  # fmt: skip

    def volumes_of(run: RunRecord) -> dict[str, str]:
        own = digests[run.label]
        return {v: "" if "" in known[v] else own.get(v, "") for v in sorted(scores[run.label])}

    sets = [set(volumes_of(run).items()) for run in runs]
    common = sorted(volume for volume, _ in set.intersection(*sets))
    if common:
        left_out = sorted(set(known) - set(common))
        if left_out:
            warnings.append(f"not all runs have scores on {', '.join(left_out)}: left out")
        return [(list(runs), common, warnings)]
    apart: dict[tuple[tuple[str, str], ...], list[RunRecord]] = {}
    for run in runs:
        apart.setdefault(tuple(volumes_of(run).items()), []).append(run)
    return [(own, [volume for volume, _ in key], warnings) for key, own in apart.items()]


def _missing(runs: Sequence[RunRecord], scores: RunScores, volumes: Sequence[str]) -> Iterator[str]:
    """Which configurations have runs without a score on a volume."""
    counts = Counter(
        (run.configuration, volume)
        for run in runs for volume in volumes if math.isnan(scores[run.label][volume])
    )  # fmt: skip
    for (name, volume), count in counts.items():
        yield f"{name}: {count} runs have no score on {volume}; their pairs are left out"


def _definition(run: RunRecord) -> tuple[Any, ...]:
    """What a score by the run's criterion means: its name, direction and which objects count."""
    header = run.header
    assert header is not None
    number, higher = header.find()
    attributes = header.criteria[number]
    return header.selected_by, higher, attributes.get("units"), attributes.get("long_name")


def _scored_apart(examples: Sequence[RunRecord]) -> Iterator[str]:
    """In what the scoring of runs differs that cannot be compared."""
    options = {
        run.label: run.header.settings.get("task", {}) for run in examples if run.header is not None
    }
    keys = dict.fromkeys(key for task in options.values() for key in task)
    for key in keys:
        values = {label: task.get(key) for label, task in options.items()}
        if key != "post_processor" and len({repr(value) for value in values.values()}) > 1:
            each = ", and ".join(f"{value} for {label}" for label, value in values.items())
            yield (
                f"not all runs are scored alike: task.{key} is {each}; dacapo.validate scores them "
                f"again"
            )


def _blind_spots(run: RunRecord, volumes: Sequence[str]) -> Iterator[str]:
    """What the criterion that selects cannot see."""
    header = run.header
    assert header is not None
    if header.settings and not header.facts:
        yield "whether these runs have collapsed is not known: dacapo.validate notes it"
    have = [v for v in volumes if header.facts.get(v, {}).get("has_background")]
    if have and header.selected_by.startswith(_OF_OBJECTS_ALONE):
        where = ", ".join(have)
        yield (
            f"{header.selected_by} does not see objects that are predicted in background, of which "
            f"some is annotated in {where}: look at f1_50 or average_precision, too"
        )


def _warnings(runs: Sequence[RunRecord]) -> list[str]:
    """In what runs differ that no factor names."""
    found = []
    for name, values in (
        ("trained by different code", Counter(run.code or "unknown" for run in runs)),
        ("trained for different numbers of iterations", Counter(r.num_iterations for r in runs)),
    ):
        if len(values) > 1:
            counts = "; ".join(f"{value} ({count} runs)" for value, count in values.items())
            found.append(f"the runs were {name}: {counts}")
    options: dict[str, set[frozenset[tuple[str, str]]]] = {}
    for run in runs:
        own = {**run.choices, **run.overrides}
        own.pop(FOLD, None)
        options.setdefault(run.configuration, set()).add(frozenset(own.items()))
    for name, sets in options.items():
        keys = sorted({key for one in sets for other in sets for key, _ in one ^ other})
        if keys:
            found.append(f"the runs of {name} differ in {', '.join(keys)}")
    data: dict[frozenset[tuple[str, str]], list[str]] = {}
    for run in (run for run in runs if run.fold == runs[0].fold):
        seen = frozenset((k, v) for k, v in run.digests.items() if k.startswith("train/"))
        data.setdefault(seen, []).append(run.label)
    if len(data) > 1:
        groups = "; ".join(f"{labels[0]}" + " and others" * (len(labels) > 1)
                           for labels in data.values())  # fmt: skip
        found.append(f"the runs were trained on different voxels: {groups}")
    return found


def _find(baseline: str, configurations: Sequence[Configuration]) -> str:
    """The name of a configuration that is given by its name or label."""
    for configuration in configurations:
        if baseline in (configuration.name, configuration.label):
            return configuration.name
    known = [c.label for c in configurations]
    raise InputError(
        f"baseline={baseline}: there is no such configuration{did_you_mean(baseline, known)}; "
        f"there are {', '.join(known)}"
    )


def _configurations(
    runs: Sequence[RunRecord], states: Mapping[str, str]
) -> dict[str, Configuration]:
    """The configurations by the names of their folders."""
    of: dict[str, list[RunRecord]] = {}
    for run in runs:
        of.setdefault(run.configuration, []).append(run)
    factors = _factors({name: own[0] for name, own in of.items()})
    labels = {name: _label(name, values) for name, values in factors.items()}
    found = {}
    for name, own in of.items():
        is_unique = list(labels.values()).count(labels[name]) == 1
        candidates = [run.num_candidates for run in own]
        collapsed = [r for r in own if states[r.label] == "done" and r.best and r.best.collapsed]
        found[name] = Configuration(
            name,
            labels[name] if is_unique else name,
            factors[name],
            len(own),
            sum(states[run.label] in FAILURES for run in own),
            len(collapsed),
            sum(states[run.label] == "stopped" for run in own),
            sum(states[run.label] in _UNFINISHED for run in own),
            sum(states[run.label] == "done" and run.best is None for run in own),
            max(candidates, default=0),
            _costs([run for run in own if states[run.label] == "done"]),
        )
    return found


def _costs(runs: Sequence[RunRecord]) -> dict[str, float]:
    """Medians over runs."""
    values = {"seconds": [run.trained_until * run.seconds_per_iteration for run in runs]}
    values |= {key: [run.costs[at] for run in runs] for at, key in enumerate(COSTS)}
    return {key: _median(numbers) for key, numbers in values.items()}


def _median(numbers: Sequence[float]) -> float:
    known = [number for number in numbers if not math.isnan(number)]
    return float(np.median(known)) if known else math.nan


def _factors(examples: Mapping[str, RunRecord]) -> dict[str, dict[str, str]]:
    """Name -> key -> value, for the groups and overrides that differ between configurations."""
    plain: dict[str, dict[str, Any]] = {
        name: {**run.choices, **run.overrides} for name, run in examples.items()
    }
    left_out = {FOLD, *without_influence()}
    keys = dict.fromkeys(k for values in plain.values() for k in values if k not in left_out)
    differing = [key for key in keys if len({v.get(key) for v in plain.values()}) > 1]
    return {
        name: {key: str(values.get(key) or "default") for key in differing}
        for name, values in plain.items()
    }


def _label(name: str, factors: Mapping[str, str]) -> str:
    """The values of its factors; those of a group speak for themselves."""
    parts = [value if key in GROUPS else f"{key}={value}" for key, value in factors.items()]
    return ", ".join(parts) or name
