"""Comparisons by some factors alone, averaged over all others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from dacapo.comparison.statistics import Scores
from dacapo.comparison.verdict import Comparison, Configuration
from dacapo.errors import InputError, did_you_mean, warn
from dacapo.experiments.run_config import GROUPS

Values = tuple[str, ...]
_COUNTS = (
    "num_runs", "num_failed", "num_collapsed", "num_stopped", "num_unfinished", "num_unscored",
)  # fmt: skip


def grouped(
    comparisons: Sequence[Comparison], factors: Sequence[str], baseline: str | None
) -> list[Comparison]:
    """Compare the values of some factors; comparisons that cannot be grouped are left out.

    Args:
        baseline: the label of a group.

    Raises:
        InputError: none can be grouped, or none has such a group.
    """
    found: list[Comparison] = []
    errors: list[InputError] = []
    for comparison in comparisons:
        try:
            found.append(by_factors(comparison, list(dict.fromkeys(factors))))
        except InputError as error:
            errors.append(error)
    if errors and not found:
        raise errors[0]
    for left_out in errors:
        warn(str(left_out))
    labels = list(dict.fromkeys(c.label for own in found for c in own.configurations))
    if baseline is not None and baseline not in labels:
        raise InputError(
            f"baseline={baseline}: there is no such group{did_you_mean(baseline, labels)}; there "
            f"are {', '.join(labels)}"
        )
    return [_with_baseline(own, baseline) for own in found]


def _with_baseline(comparison: Comparison, baseline: str | None) -> Comparison:
    labels = [c.label for c in comparison.configurations]
    at = labels.index(baseline) if baseline in labels else None
    return replace(comparison, baseline=at)


def by_factors(comparison: Comparison, factors: Sequence[str]) -> Comparison:
    """A comparison of the values of some factors.

    The score of a repetition is the mean over those combinations of all other factors that were run
    with each value, so that none is favoured by what it was combined with.

    Raises:
        InputError: there is no such factor, or no combination that all groups share.
    """
    every = comparison.configurations
    known = list(dict.fromkeys(key for c in every for key in c.factors))
    for factor in factors:
        if factor not in known:
            there = f"the factors are {', '.join(known)}" if known else "the runs differ in none"
            raise InputError(
                f"group={factor}: there is no such factor{did_you_mean(factor, known)}; {there}"
            )
    others = [key for key in known if key not in factors]
    cells: dict[Values, dict[Values, list[int]]] = {}
    unscored: dict[Values, list[int]] = {}
    for number, (c, scores) in enumerate(zip(every, comparison.scores, strict=True)):
        group, rest = (tuple(c.factors.get(k, "") for k in keys) for keys in (factors, others))
        own = cells.setdefault(group, {})
        if np.isfinite(scores).any():
            own.setdefault(rest, []).append(number)
        else:
            unscored.setdefault(group, []).append(number)
    scored = [set(own) for own in cells.values() if own]
    shared = set.intersection(*scored) if scored else set()
    if scored and not shared:
        raise InputError(
            f"group={','.join(factors)}: no combination of {', '.join(others)} was run with each "
            f"value, so their means of {comparison.criterion} would not be comparable"
        )
    members = {
        group: {rest: own[rest] for rest in sorted(shared & own.keys())}
        for group, own in cells.items()
    }
    left_out = sum(
        len(k) for own in cells.values() for rest, k in own.items() if rest not in shared
    )
    return replace(
        comparison,
        configurations=[
            _merged(dict(zip(factors, group, strict=True)),
                    [every[k] for numbers in own.values() for k in numbers],
                    [every[k] for k in unscored.get(group, ())])
            for group, own in members.items()
        ],
        scores=np.stack([_mean(comparison.scores, own) for own in members.values()]),
        baseline=None,
        warnings=[*_about(len(shared), others, left_out), *comparison.warnings],
        elsewhere={},
    )  # fmt: skip


def _about(num: int, others: Sequence[str], left_out: int) -> list[str]:
    if not others:
        return []
    text = f"scores are means over {num} combination{'s' * (num != 1)} of {', '.join(others)}"
    if left_out:
        text += (
            f"; configurations whose combination was not run with all values are left out: "
            f"{left_out}"
        )
    return [text]


def _mean(scores: Scores, cells: Mapping[Values, Sequence[int]]) -> Scores:
    """Over the configurations of each cell, then over cells; NaN without any, or where one has no
    score."""
    if not cells:
        return np.full(scores.shape[1:], np.nan)
    mean: Scores = np.mean([scores[own].mean(axis=0) for own in cells.values()], axis=0)
    return mean


def _merged(
    factors: Mapping[str, str], scored: Sequence[Configuration], unscored: Sequence[Configuration]
) -> Configuration:
    """What the configurations of a group have in all; costs are those of its scores."""
    label = ", ".join(v if key in GROUPS else f"{key}={v}" for key, v in factors.items())
    counts = {count: sum(getattr(c, count) for c in (*scored, *unscored)) for count in _COUNTS}
    counts["num_stopped"] = sum(c.num_stopped for c in scored)  # others do not bias the means
    costs = {
        key: [c.costs[key] for c in scored if np.isfinite(c.costs[key])]
        for key in (*scored, *unscored)[0].costs
    }
    return Configuration(
        name=label,
        label=label,
        factors=factors,
        num_candidates=max(c.num_candidates for c in scored or unscored),
        costs={key: float(np.mean(own)) if own else np.nan for key, own in costs.items()},
        **counts,
    )
