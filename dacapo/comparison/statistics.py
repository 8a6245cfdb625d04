"""Differences between configurations, with what a few repetitions can tell of them.

One run is one observation: its selected score, averaged over the volumes. The same repetition of
two configurations saw the same crops, so their scores are compared in pairs. Intervals hold 95 % of
the time where `benchmarks/comparison.py` measures it; percentile bootstraps do not, with 3 to 10
runs (75 to 89 %).

Scores are arrays (configurations, repetitions), NaN where a run is missing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import combinations

import numpy as np
from scipy import integrate, optimize, special, stats

Scores = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

LEVEL = 0.95
_POWER = 0.8
_MAX_REPETITIONS = 1000
_MAX_VARIANCE_RATIO = 10.0
_NUM_DRAWS = 20_000


@dataclass(frozen=True)
class Difference:
    """The mean of paired differences, with its interval.

    Attributes:
        count: number of pairs.
        mean, low, high: NaN if they cannot be computed.
        sd: standard deviation of the differences.
        p: two-sided, that the true difference is 0.
        adjusted: p after Holm's correction over the family of comparisons.
        reason: why there is no interval; empty if there is one.
    """

    count: int
    mean: float
    low: float = math.nan
    high: float = math.nan
    sd: float = math.nan
    p: float = math.nan
    adjusted: float = math.nan
    reason: str = ""

    @property
    def is_decided(self) -> bool:
        """Whether the difference is not 0, at 5 % for the whole family."""
        return self.adjusted <= 1 - LEVEL

    def within(self, margin: float) -> bool:
        """Whether both one-sided tests find it smaller than a margin. Schuirmann 1987."""
        if self.reason:
            return False
        half = float(stats.t.ppf(LEVEL, self.count - 1)) * self.sd / math.sqrt(self.count)
        return abs(self.mean) + half < margin

    def more_pairs(self, difference: float, num_comparisons: int = 1) -> int | None:
        """How many more pairs tell this difference from 0, with 80 % power by a paired t test.

        None if more than a thousand would be needed, or the spread is unknown.

        Args:
            num_comparisons: of the family, which the test is corrected for.
        """
        if self.reason or not difference:
            return None
        needed = needed_pairs(abs(difference) / self.sd, (1 - LEVEL) / num_comparisons)
        return None if needed is None else max(0, needed - self.count)


def paired(first: Scores, second: Scores) -> Difference:
    """The difference first - second over the repetitions that both have: Student's t interval."""
    differences = (first - second)[np.isfinite(first) & np.isfinite(second)]
    count = len(differences)
    if count == 0:
        return Difference(0, math.nan, reason="no repetition has both")
    mean = float(differences.mean())
    if count == 1:
        return Difference(1, mean, reason="one pair has no interval")
    sd = float(differences.std(ddof=1))
    if sd <= 1e-12 * max(1.0, abs(mean)):
        text = "all repetitions differ by the same amount, so they are not independent runs"
        return Difference(count, mean, reason=text)
    error = sd / math.sqrt(count)
    half = float(stats.t.ppf((1 + LEVEL) / 2, count - 1)) * error
    p = 2 * float(stats.t.sf(abs(mean) / error, count - 1))
    return Difference(count, mean, mean - half, mean + half, sd, p, p)


def interval(values: Scores) -> tuple[float, float, float]:
    """The mean of runs and its interval; NaN if there are fewer than two."""
    known = values[np.isfinite(values)]
    if len(known) < 2:
        return float(known.mean()) if len(known) else math.nan, math.nan, math.nan
    mean = float(known.mean())
    limit = float(stats.t.ppf((1 + LEVEL) / 2, len(known) - 1))
    half = limit * float(known.std(ddof=1)) / math.sqrt(len(known))
    return mean, mean - half, mean + half


def holm(family: Sequence[Difference]) -> list[Difference]:
    """The differences with p values that hold for all of them together. Holm 1979.

    Those without a p value count, too: which can be tested is not known beforehand.
    """
    order = sorted(range(len(family)), key=lambda at: (math.isnan(family[at].p), family[at].p))
    adjusted, largest = [math.nan] * len(family), 0.0
    for rank, at in enumerate(order):
        p = family[at].p
        if not math.isnan(p):
            largest = max(largest, min(1.0, (len(family) - rank) * p))
            adjusted[at] = largest
    return [replace(d, adjusted=a) for d, a in zip(family, adjusted, strict=True)]


def needed_pairs(effect: float, risk: float = 1 - LEVEL) -> int | None:
    """The smallest number of pairs with which a paired t test has 80 % power; None above 1000.

    Args:
        effect: the true difference, in standard deviations of the differences.
        risk: of the test.
    """

    def power(count: int) -> float:
        limit = stats.t.ppf(1 - risk / 2, count - 1)
        shift = effect * math.sqrt(count)
        above = stats.nct.sf(limit, count - 1, shift)
        return float(above + stats.nct.cdf(-limit, count - 1, shift))

    low, high = 1, 2
    while power(high) < _POWER:
        if high == _MAX_REPETITIONS:
            return None
        low, high = high, min(2 * high, _MAX_REPETITIONS)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power(middle) >= _POWER else (middle, high)
    return high


@dataclass(frozen=True)
class Pooled:
    """A two-way fit, configurations by repetitions: valid if all configurations vary alike.

    Attributes:
        means: of each configuration, over the repetitions that all have.
        count: number of those repetitions.
        variance: of the residuals.
        df: their degrees of freedom.
        unstable: configurations whose variance is estimated to be more than ten times that of the
            others.
    """

    means: Scores
    count: int
    variance: float
    df: int
    unstable: tuple[int, ...]
    _pair_variances: Scores

    @property
    def error(self) -> float:
        """The standard error of a difference of two means."""
        return math.sqrt(2 * self.variance / self.count)

    def moderated(self, first: int, second: int) -> tuple[float, float, float]:
        """The difference of two configurations and its interval."""
        error, df = self._moderated_error(first, second)
        mean = float(self.means[first] - self.means[second])
        half = float(stats.t.ppf((1 + LEVEL) / 2, df)) * error
        return mean, mean - half, mean + half

    def _moderated_error(self, first: int, second: int) -> tuple[float, float]:
        """The standard error of a difference and its degrees of freedom, from a variance between
        that of the pair and that of all. Smyth 2004."""
        prior, own_df = self._prior_df, self.count - 1
        own = self._pair_variances[first, second]
        if math.isinf(prior):
            variance, df = 2 * self.variance, float(self.df)
        else:
            variance = (prior * 2 * self.variance + own_df * own) / (prior + own_df)
            df = min(prior + own_df, self.df)
        return math.sqrt(variance / self.count), df

    @cached_property
    def _prior_df(self) -> float:
        """How much the variance of all says about that of a pair, in degrees of freedom."""
        if len(self.means) < 3:
            return math.inf  # there is one pair, which is all
        df = self.count - 1
        rows, columns = np.triu_indices(len(self.means), 1)
        logs = np.log(self._pair_variances[rows, columns])
        excess = float(logs.var(ddof=1)) - float(special.polygamma(1, df / 2))
        if excess <= 0:
            return math.inf
        if excess >= special.polygamma(1, 1e-3):
            return 0.0
        low, high = 1e-3, 1e8
        if special.polygamma(1, high) >= excess:
            return math.inf
        half = optimize.brentq(lambda x: float(special.polygamma(1, x)) - excess, low, high)
        return 2 * float(half)

    def may_be_best(self, higher_is_better: bool) -> list[int]:
        """All configurations but those that are worse than another: contains the best with 95 %.

        Hsu 1984, multiple comparisons with the best, with moderated errors.
        """
        values = self.means if higher_is_better else -self.means

        def is_worse(at: int, other: int) -> bool:
            error, df = self._moderated_error(at, other)
            limit = dunnett_limit(len(values) - 1, max(1, int(df)), two_sided=False)
            return bool(values[other] - values[at] > limit * error)

        numbers = range(len(values))
        return [at for at in numbers if not any(is_worse(at, o) for o in numbers if o != at)]

    def tukey(self) -> float:
        """The half width of intervals that hold for all pairs together."""
        return tukey_limit(len(self.means), self.df) * self.error

    def dunnett(self) -> float:
        """The half width of intervals that hold for all differences from one baseline. Dunnett
        1955."""
        return dunnett_limit(len(self.means) - 1, self.df, two_sided=True) * self.error

    def rank_chances(self, higher_is_better: bool) -> Scores:
        """(configurations, ranks) the probability of each rank, the best first, drawn from the
        fit."""
        rng = np.random.default_rng(0)
        scale = np.sqrt(self.df / rng.chisquare(self.df, (_NUM_DRAWS, 1)))
        noise = rng.standard_normal((_NUM_DRAWS, len(self.means)))
        drawn = self.means + noise * scale * math.sqrt(self.variance / self.count)
        order = np.argsort(-drawn if higher_is_better else drawn, axis=1)
        num = len(self.means)
        counts = [np.bincount(order[:, rank], minlength=num) for rank in range(num)]
        return np.stack(counts, axis=1) / _NUM_DRAWS


def fit_pooled(scores: Scores) -> Pooled | None:
    """The two-way fit over the repetitions that all configurations have; None if it cannot be made.

    Two repetitions, and some variation, are needed.
    """
    complete = scores[:, np.isfinite(scores).all(axis=0)]
    num, count = complete.shape
    if num < 2 or count < 2:
        return None
    means = complete.mean(axis=1)
    residuals = complete - means[:, None] - complete.mean(axis=0) + complete.mean()
    df = (num - 1) * (count - 1)
    variance = float((residuals**2).sum()) / df
    if variance <= 1e-24 * max(1.0, float(np.abs(means).max())) ** 2:
        return None
    unstable: tuple[int, ...] = ()
    if num > 2:
        # The variance of one configuration; residuals mix it with those of the others. Grubbs 1948.
        squares = (residuals**2).sum(axis=1)
        own = (num * (num - 1) * squares - squares.sum()) / (df * (num - 2))
        others = (own.sum() - own) / (num - 1)
        far = own > _MAX_VARIANCE_RATIO * np.maximum(others, 0)
        unstable = tuple(int(at) for at in np.flatnonzero(far))
    pairs = np.full((num, num), np.nan)
    for first, second in combinations(range(num), 2):
        spread = max(float((complete[first] - complete[second]).var(ddof=1)), 1e-300)
        pairs[first, second] = pairs[second, first] = spread
    return Pooled(means, count, variance, df, unstable, pairs)


@lru_cache
def tukey_limit(num: int, df: float) -> float:
    """The critical value at 5 % of the largest of all t statistics between `num` means."""
    return float(stats.studentized_range.ppf(LEVEL, num, df)) / math.sqrt(2)


@lru_cache
def dunnett_limit(num: int, df: float, two_sided: bool) -> float:
    """The critical value at 5 % of the largest of `num` t statistics against one control.

    Equal numbers of observations, so that the statistics correlate by 1/2.
    """
    if num == 1:
        return float(stats.t.ppf((1 + LEVEL) / 2 if two_sided else LEVEL, df))
    normal, weight = np.polynomial.hermite_e.hermegauss(60)
    weight = weight / weight.sum()

    def below(limit: float, scale: float) -> float:
        """That none exceeds the limit, for a known ratio of estimated and true deviation."""
        reach = limit * scale * math.sqrt(2)
        low = special.ndtr(normal - reach) if two_sided else 0.0
        return float(weight @ (special.ndtr(normal + reach) - low) ** num)

    def coverage(limit: float) -> float:
        density = stats.chi(df).pdf
        root = math.sqrt(df)
        low, high = stats.chi(df).ppf([1e-9, 1 - 1e-9])
        found, _ = integrate.quad(
            lambda x: density(x) * below(limit, x / root), low, high, epsabs=1e-8, limit=200
        )
        return float(found)

    return float(optimize.brentq(lambda c: coverage(c) - LEVEL, 0.5, 200.0, xtol=1e-5))


def on_new_volumes(first: Scores, second: Scores) -> Difference:
    """The difference of two configurations on volumes like these, not only on these.

    Repetitions and volumes are crossed, both drawn at random. Obuchowski and Rockette 1995.

    Args:
        first, second: (repetitions, volumes), of at least three volumes.
    """
    kept = np.isfinite(first).all(axis=1) & np.isfinite(second).all(axis=1)
    differences = (first - second)[kept]
    count, num_volumes = differences.shape
    mean = float(differences.mean()) if count else math.nan
    if num_volumes < 3:
        return Difference(count, mean, reason="fewer than three volumes say nothing about others")
    if count < 2:
        return Difference(count, mean, reason="fewer than two pairs")
    of_runs, of_volumes = differences.mean(axis=1), differences.mean(axis=0)
    rest = differences - of_runs[:, None] - of_volumes + mean
    runs = num_volumes * float(of_runs.var(ddof=1))
    volumes = count * float(of_volumes.var(ddof=1))
    both_df = (count - 1) * (num_volumes - 1)
    both = float((rest**2).sum()) / both_df
    largest = max(runs + volumes - both, runs, volumes)
    if math.sqrt(max(largest, 0) / (count * num_volumes)) <= 1e-12 * max(1.0, abs(mean)):
        return Difference(count, mean, reason="all volumes and repetitions differ by the same")
    if largest == runs + volumes - both:
        squares = runs**2 / (count - 1) + volumes**2 / (num_volumes - 1) + both**2 / both_df
        df = largest**2 / squares
    else:
        df = count - 1 if largest == runs else num_volumes - 1
    error = math.sqrt(largest / (count * num_volumes))
    half = float(stats.t.ppf((1 + LEVEL) / 2, df)) * error
    p = 2 * float(stats.t.sf(abs(mean) / error, df))
    return Difference(count, mean, mean - half, mean + half, error * math.sqrt(count), p, p)
