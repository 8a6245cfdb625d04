"""What the runs of a folder say about their configurations, in numbers and in sentences."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations, product
from typing import Any

import numpy as np

from dacapo.comparison.statistics import (
    Difference,
    Pooled,
    Scores,
    fit_pooled,
    holm,
    on_new_volumes,
    paired,
)

_MAX_SENTENCES = 8
_MAX_RATIO = 2
"""Configurations with more candidates than this times those of others win more by luck."""


@dataclass(frozen=True)
class Configuration:
    """Runs that differ in their repetition only.

    Attributes:
        name: of the folder.
        label: what sets it apart from the others.
        factors: key -> value, of what differs between configurations.
        num_runs: all of its runs.
        num_failed, num_collapsed: those that failed, and those whose best segmentation shows
            nothing of the volumes, see `Best.collapsed`.
        num_stopped, num_unfinished: those that halving stopped, and those still to be trained.
        num_unscored: finished ones whose score is NaN on some volume, whatever the parameters.
        num_candidates: validations times settings of the post-processor, of which one was selected.
        costs: medians over its finished runs, NaN if unknown: `seconds` of training without
            validation, and `dacapo.comparison.run_record.COSTS`.
    """

    name: str
    label: str
    factors: Mapping[str, str]
    num_runs: int
    num_failed: int
    num_collapsed: int
    num_stopped: int
    num_unfinished: int
    num_unscored: int
    num_candidates: int
    costs: Mapping[str, float]


@dataclass(frozen=True)
class Comparison:
    """Configurations that were scored by one criterion on the same volumes.

    Attributes:
        units: of the criterion.
        part: validate, where the scores were selected, or test.
        scores: (configurations, repetitions, volumes), NaN where a run has none.
        baseline: the configuration with which all others are compared; None: all pairs.
        margin: a difference below it does not matter; None: every difference does.
        warnings: in what else than their factors its runs differ.
        elsewhere: segmentation that no run has made -> its mean score over the volumes. It is one
            observation, from which no interval follows.
        are_folds: whether the volumes are folds of one volume, which say nothing of others.
    """

    criterion: str
    units: str
    higher_is_better: bool
    part: str
    configurations: Sequence[Configuration]
    repetitions: Sequence[int]
    volumes: Sequence[str]
    scores: Scores
    baseline: int | None = None
    margin: float | None = None
    warnings: Sequence[str] = ()
    elsewhere: Mapping[str, float] = field(default_factory=dict)
    are_folds: bool = False

    @cached_property
    def means(self) -> Scores:
        """Over the volumes: (configurations, repetitions)."""
        means: Scores = self.scores.mean(axis=2)
        return means

    @cached_property
    def order(self) -> list[int]:
        """The configurations with a score, best mean first."""
        kept = [k for k in range(len(self.means)) if np.isfinite(self.means[k]).any()]
        return sorted(kept, key=lambda k: self._goodness(float(np.nanmean(self.means[k]))))

    def _goodness(self, mean: float) -> float:
        return -mean if self.higher_is_better else mean

    @cached_property
    def differences(self) -> dict[tuple[int, int], Difference]:
        """(better, worse) -> better minus worse, for the family of comparisons that is judged."""
        pairs = list(combinations(self.order, 2))
        if self.baseline in self.order:
            pairs = [pair for pair in pairs if self.baseline in pair]
        # Better in their pairs, which are not all runs if some are missing.
        pairs = [
            (b, a) if self._goodness(paired(self.means[a], self.means[b]).mean) > 0 else (a, b)
            for a, b in pairs
        ]
        return dict(zip(pairs, holm([self._difference(*pair) for pair in pairs]), strict=True))

    def _difference(self, first: int, second: int) -> Difference:
        found = paired(self.means[first], self.means[second])
        stopped = [self.label(k) for k in (first, second) if self.configurations[k].num_stopped]
        if not stopped:
            return found
        reason = f"runs of {' and '.join(stopped)} were stopped for being behind"
        return Difference(found.count, found.mean, reason=reason)

    @cached_property
    def pooled(self) -> Pooled | None:
        """The fit of all configurations that have scores, in their order.

        None if it would leave out repetitions that some pairs have, or runs were stopped.
        """
        if len(self.order) < 2 or any(self.configurations[k].num_stopped for k in self.order):
            return None
        found = fit_pooled(self.means[self.order])
        most = max((d.count for d in self.differences.values()), default=0)
        return None if found is None or found.count < most else found

    @cached_property
    def may_be_best(self) -> list[int]:
        """The configurations that cannot be told from the best; empty if that is unknown."""
        if self.pooled is None:
            return []
        return [self.order[at] for at in self.pooled.may_be_best(self.higher_is_better)]

    @cached_property
    def chances(self) -> dict[int, float]:
        """Configuration -> its probability to be the best; empty if that is unknown."""
        return {k: ranks[0] for k, ranks in self.rank_chances.items()}

    @cached_property
    def rank_chances(self) -> dict[int, list[float]]:
        """Configuration -> the probability of each rank, the best first; empty if unknown."""
        if self.pooled is None or self.pooled.unstable:
            return {}
        found = self.pooled.rank_chances(self.higher_is_better)
        return {k: own.tolist() for k, own in zip(self.order, found, strict=True)}

    @cached_property
    def front(self) -> list[int]:
        """The configurations than which no other is both better and faster: the Pareto front."""
        mean = {k: self._goodness(float(np.nanmean(self.means[k]))) for k in self.order}
        time = {k: self.configurations[k].costs["seconds"] for k in self.order}

        def is_beaten(k: int, other: int) -> bool:
            both = mean[other] <= mean[k] and time[other] <= time[k]
            return both and (mean[other], time[other]) != (mean[k], time[k])

        return [k for k in self.order if not any(is_beaten(k, other) for other in self.order)]

    def label(self, configuration: int) -> str:
        return self.configurations[configuration].label

    def sentences(self) -> Iterator[str]:
        """The verdict in words: what is decided, what is not, and what limits it."""
        if len(self.order) < 2:
            yield from self._about_elsewhere()
            yield from self.warnings
            yield from self._left_out()
            if not self.order and any(c.num_collapsed for c in self.configurations):
                yield (
                    "no run is better than one object or none: train longer (num_iterations), look "
                    "at picture.png and curves.png of a run, or try other parameters of the "
                    "post-processor with dacapo.validate"
                )
            return
        decided = [pair for pair, d in self.differences.items() if d.is_decided]
        for pair in self.differences if len(self.order) < 4 else decided[:_MAX_SENTENCES]:
            yield self._sentence(*pair)
        if len(self.order) >= 4:
            yield from self._about_the_rest(len(decided))
        yield from self._about_elsewhere()
        yield from self._limits()

    def _sentence(self, better: int, worse: int) -> str:
        """One comparison, which is decided or not."""
        difference = self.differences[better, worse]
        one, other = self.label(better), self.label(worse)
        gap = abs(difference.mean)
        if difference.reason:
            return f"{one} and {other} cannot be compared: {difference.reason}"
        ends = sorted((self._gain(difference.low), self._gain(difference.high)))
        interval = f"95 % interval {ends[0]:.3g} to {ends[1]:.3g}, {difference.count} pairs"
        unit = "" if self.units in ("", "1") else f" {self.units}"
        if difference.is_decided:
            text = f"{one} beats {other} on {self.criterion} by {gap:.3g}{unit} ({interval})"
            small = self.margin is not None and gap < self.margin
            return f"{text}, which is less than margin={self.margin:g}" if small else text
        if self.margin is not None and difference.within(self.margin):
            return f"{one} and {other} differ by less than {self.margin:g}{unit} ({interval})"
        text = f"not decided between {one} and {other}: {gap:.3g}{unit} ({interval})"
        wanted = gap if self.margin is None else self.margin
        more = difference.more_pairs(wanted, len(self.differences))
        if more:
            text += f"; about {more} more repetitions would tell {wanted:.3g} apart"
        return text

    def _gain(self, value: float) -> float:
        """A difference as an improvement."""
        return value if self.higher_is_better else -value

    def _about_the_rest(self, num_decided: int) -> Iterator[str]:
        yield f"{num_decided} of {len(self.differences)} pairs are decided"
        best = self.may_be_best
        if len(best) > 1:
            yield f"the best may be any of {'; '.join(self.label(k) for k in best)}"
        elif best:
            yield f"{self.label(best[0])} is the best: none of the others may be"

    def _about_elsewhere(self) -> Iterator[str]:
        """How segmentations that no run has made stand among the runs of the best."""
        for name, score in self.elsewhere.items():
            if not math.isfinite(score):
                yield f"{name} has no score on some volume"
            elif not self.order:
                yield f"{name}, a single segmentation, scores {score:.3g}"
            for k in self.order[:_MAX_SENTENCES] if math.isfinite(score) else ():
                values = self.means[k][np.isfinite(self.means[k])]
                beaten = int((self._gains(score - values) > 0).sum())
                yield (
                    f"{name}, a single segmentation, scores {score:.3g}: better than {beaten} of "
                    f"{len(values)} runs of {self.label(k)} (mean {values.mean():.3g})"
                )

    def _gains(self, values: Scores) -> Scores:
        """Differences as improvements."""
        return values if self.higher_is_better else -values

    def _limits(self) -> Iterator[str]:
        """What the reader must know before believing it."""
        yield from self.warnings
        if self.baseline is not None and self.baseline not in self.order:
            label = self.label(self.baseline)
            yield f"the baseline, {label}, has no score: all pairs are compared"
        unstable = () if self.pooled is None else self.pooled.unstable
        for at in unstable:
            yield (
                f"{self.label(self.order[at])} varies far more than the others: chances to be the "
                f"best are left out"
            )
        if self.pooled is None and len(self.order) >= 4:
            yield "not all have the same repetitions, so what pools all configurations is left out"
        if 2 in {d.count for d in self.differences.values()}:
            yield "two pairs give an interval 18 standard deviations wide: train more repetitions"
        yield from self._left_out()
        if self.part == "validate":
            yield from self._optimism()
        num = len(self.volumes)
        if self.are_folds and num == 1:
            yield "a score is of one fold of one volume: train the others, datasplit.fold=..."
        elif self.are_folds:
            yield (
                f"a score is the mean of {num} folds of one volume: whether it holds for other "
                f"volumes takes three or more"
            )
        elif num < 3:
            which = self.volumes[0] if num == 1 else " and ".join(self.volumes)
            yield f"this holds for {which}: whether it holds for other volumes takes three or more"
        elif self.differences:
            yield from self._other_volumes(*next(iter(self.differences)))

    def _left_out(self) -> Iterator[str]:
        """Runs without a score that counts."""
        for c in self.configurations:
            counts = (
                (c.num_failed, "failed"),
                (c.num_collapsed, "collapsed (no better than one object or none)"),
                (c.num_stopped, "were stopped for being behind"),
                (c.num_unfinished, "are not finished"),
                (c.num_unscored, "have no score on some volume"),
            )  # fmt: skip
            parts = [f"{count} {what}" for count, what in counts if count]
            if parts:
                counted = ", ".join(parts)
                yield f"{c.label}: of {c.num_runs} runs {counted}; their pairs are left out"

    def _optimism(self) -> Iterator[str]:
        numbers = [self.configurations[k].num_candidates for k in self.order]
        low, high = min(numbers), max(numbers)
        text = f"{low}" if low == high else f"{low} to {high}"
        if high > 1:
            yield (
                f"scores are optimistic: each is the best of {text} candidates (validations times "
                f"settings) on these same volumes; test=true scores volumes that chose nothing"
            )
        if high > _MAX_RATIO * low:
            yield "more candidates win more by luck: give all configurations as many"

    def _other_volumes(self, better: int, worse: int) -> Iterator[str]:
        """Whether the first difference would hold elsewhere; one statement, without correction."""
        found = on_new_volumes(self.scores[better], self.scores[worse])
        if found.reason or self.differences[better, worse].reason:
            return
        low, high = sorted((self._gain(found.low), self._gain(found.high)))
        one, other = self.label(better), self.label(worse)
        what = f"95 % interval, {len(self.volumes)} volumes"
        if low > 0:
            interval = f"by {low:.3g} to {high:.3g} ({what})"
            yield f"on other volumes like these, {one} beats {other} {interval}"
        else:
            yield (
                f"on other volumes like these, it is not decided between {one} and {other}: "
                f"{low:.3g} to {high:.3g} ({what})"
            )

    def effects(self) -> list[tuple[str, str, str, int, Difference]]:
        """Factor, two of its values, the number of combinations of all other factors over which
        their difference is averaged, and that difference.

        Only combinations that were run with every value of the factor count. All effects are one
        family.
        """
        factors = {k: list(dict.fromkeys(c.factors.get(k, "") for c in self.configurations))
                   for c in self.configurations for k in c.factors}  # fmt: skip
        at = {tuple(c.factors.get(k, "") for k in factors): n
              for n, c in enumerate(self.configurations)}  # fmt: skip
        if len(factors) < 2 or len(at) < len(self.configurations):
            return []  # something that is no factor differs, too
        found = []
        for place, (name, values) in enumerate(factors.items()):
            rest = [v for k, v in factors.items() if k != name]
            cells = [
                [at.get((*other[:place], value, *other[place:])) for value in values]
                for other in product(*rest)
            ]
            whole = [cell for cell in cells if None not in cell]
            if not whole or len(values) < 2:
                continue
            mean = self.means[np.array(whole, np.int64)].mean(axis=0)  # (values, repetitions)
            for a, b in combinations(range(len(values)), 2):
                found.append((name, values[a], values[b], len(whole), paired(mean[a], mean[b])))
        judged = holm([difference for *_, difference in found])
        return [
            (name, one, other, count, difference)
            for (name, one, other, count, _), difference in zip(found, judged, strict=True)
        ]


def summary(comparison: Comparison) -> dict[str, Any]:
    """All of it as plain data; null for what is not known."""

    def number(value: float) -> float | None:
        return value if math.isfinite(value) else None

    chances = comparison.chances
    return {
        "criterion": comparison.criterion,
        "units": comparison.units,
        "higher_is_better": comparison.higher_is_better,
        "part": comparison.part,
        "volumes": list(comparison.volumes),
        "repetitions": list(comparison.repetitions),
        "configurations": [
            {
                **vars(c),
                "factors": dict(c.factors),
                "costs": {key: number(value) for key, value in c.costs.items()},
                "is_on_front": n in comparison.front,
                "scores": [number(v) for v in comparison.means[n].tolist()],
                "chance_of_best": chances.get(n),
                "may_be_best": n in comparison.may_be_best,
            }
            for n, c in enumerate(comparison.configurations)
        ],
        "differences": [
            {
                "first": comparison.label(a),
                "second": comparison.label(b),
                "is_decided": d.is_decided,
                **{k: number(v) if isinstance(v, float) else v for k, v in vars(d).items()},
            }
            for (a, b), d in comparison.differences.items()
        ],
        "elsewhere": {name: number(v) for name, v in comparison.elsewhere.items()},
        "verdict": list(comparison.sentences()),
    }
