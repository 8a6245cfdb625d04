"""A comparison by some factors alone, averaged over all others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from dacapo.comparison.statistics import Scores
from dacapo.comparison.verdict import Comparison, Configuration
from dacapo.errors import InputError, did_you_mean
from dacapo.experiments.run_config import GROUPS

Values = tuple[str, ...]


def grouped(comparison: Comparison, factors: Sequence[str], baseline: str | None) -> Comparison:
    """Compare the values of some factors.

    The score of a repetition is the mean over those combinations of all other factors that were run
    with each value, so that none is favoured by what it was combined with.

    Args:
        baseline: the label of a group.

    Raises:
        InputError: there is no such factor or group, or no combination that all groups share.
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
    has_score = [bool(np.isfinite(own).any()) for own in comparison.scores]
    for number, c in enumerate(every):
        group, rest = (tuple(c.factors.get(k, "") for k in keys) for keys in (factors, others))
        own = cells.setdefault(group, {})
        if has_score[number]:
            own.setdefault(rest, []).append(number)
    scored = [set(own) for own in cells.values() if own]
    shared = set.intersection(*scored) if scored else set()
    if scored and not shared:
        raise InputError(
            f"group={','.join(factors)}: no combination of {', '.join(others)} was run with each "
            f"value, so their means would not be comparable"
        )
    members = {g: [k for rest in own if rest in shared for k in own[rest]]
               for g, own in cells.items()}  # fmt: skip
    configurations = [_merged(group, factors, every) for group in cells]
    labels = [c.label for c in configurations]
    if baseline is not None and baseline not in labels:
        raise InputError(
            f"baseline={baseline}: there is no such group{did_you_mean(baseline, labels)}; there "
            f"are {', '.join(labels)}"
        )
    return replace(
        comparison,
        configurations=configurations,
        scores=np.stack([_mean(comparison.scores[own]) for own in members.values()]),
        baseline=None if baseline is None else labels.index(baseline),
        warnings=[*_about(len(shared), others, len(every), members), *comparison.warnings],
        elsewhere={},
    )


def _about(
    num: int, others: Sequence[str], num_all: int, members: dict[Values, list[int]]
) -> list[str]:
    if not others:
        return []
    text = f"scores are means over {num} combinations of {', '.join(others)}"
    left_out = num_all - sum(map(len, members.values()))
    if left_out:
        text += f"; {left_out} configurations are left out, as not all values were run with them"
    return [text]


def _mean(scores: Scores) -> Scores:
    """Over configurations; NaN without any, or where one has no score."""
    mean: Scores = scores.mean(axis=0) if len(scores) else np.full(scores.shape[1:], np.nan)
    return mean


def _merged(group: Values, factors: Sequence[str], every: Sequence[Configuration]) -> Configuration:
    """What the configurations of a group have in all."""
    own = [c for c in every if tuple(c.factors.get(key, "") for key in factors) == group]
    parts = [v if key in GROUPS else f"{key}={v}" for key, v in zip(factors, group, strict=True)]
    label = ", ".join(parts)
    counts = ("num_runs", "num_failed", "num_collapsed", "num_stopped", "num_unfinished",
              "num_unscored")  # fmt: skip
    return Configuration(
        name=label,
        label=label,
        factors=dict(zip(factors, group, strict=True)),
        num_candidates=max(c.num_candidates for c in own),
        costs={key: float(np.mean([c.costs[key] for c in own])) for key in own[0].costs},
        **{count: sum(getattr(c, count) for c in own) for count in counts},
    )
