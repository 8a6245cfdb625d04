"""Statistics agree with scipy, with published tables, and with what they promise in simulations."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import brentq
from scipy.special import polygamma

from dacapo.comparison.statistics import (
    Difference,
    dunnett_limit,
    fit_pooled,
    holm,
    needed_pairs,
    on_new_volumes,
    paired,
)


@pytest.fixture
def rng() -> np.random.Generator:
    """Of one seed: what is asserted of draws holds with 95 %, not always."""
    return np.random.default_rng(0)


def test_a_paired_difference_agrees_with_scipy(rng: np.random.Generator) -> None:
    first, second = rng.normal(size=(2, 7))
    found = paired(first, second)
    theirs = stats.ttest_rel(first, second)
    interval = theirs.confidence_interval(0.95)
    assert found.count == 7
    assert found.mean == pytest.approx((first - second).mean())
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.p == pytest.approx(theirs.pvalue)


def test_runs_that_are_missing_drop_their_pair(rng: np.random.Generator) -> None:
    first, second = rng.normal(size=(2, 6))
    first[1], second[4] = np.nan, np.nan
    kept = [0, 2, 3, 5]
    assert paired(first, second) == paired(first[kept], second[kept])


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        ([1.0], [math.nan], "no repetition has both"),
        ([1.0], [0.5], "one pair has no interval"),
        ([1.0, 2.0, 3.0], [0.5, 1.5, 2.5], "differ by the same amount"),
        ([0.3, 0.3], [0.3, 0.3], "differ by the same amount"),
    ],
)
def test_what_has_no_interval(first: list[float], second: list[float], reason: str) -> None:
    found = paired(np.array(first), np.array(second))
    assert reason in found.reason
    assert math.isnan(found.low)
    assert math.isnan(found.p)
    assert not found.is_decided
    assert not found.within(1e9)
    assert found.more_pairs(1.0) is None


def test_holm_by_hand() -> None:
    family = [Difference(5, 0.0, p=p) for p in (0.01, 0.04, 0.03, math.nan)]
    adjusted = [d.adjusted for d in holm(family)]
    assert adjusted[:3] == pytest.approx([0.04, 0.09, 0.09])
    assert math.isnan(adjusted[3])


def test_the_number_of_pairs_is_the_smallest_with_the_power(rng: np.random.Generator) -> None:
    for effect in (0.5, 1.0, 2.0):
        count = needed_pairs(effect)
        assert count is not None
        power = {}
        for n in (count - 1, count):
            drawn = rng.normal(effect, 1, (40_000, n))
            p = stats.ttest_1samp(drawn, 0, axis=1).pvalue
            power[n] = float((p < 0.05).mean())
        assert power[count - 1] < 0.81
        assert power[count] > 0.79
    assert needed_pairs(1e-3) is None


@pytest.mark.parametrize(
    ("num", "df", "two_sided", "value"),
    [  # Dunnett 1955 and 1964
        (2, 20, True, 2.38), (3, 20, True, 2.54), (4, 20, True, 2.65), (3, 10, True, 2.76),
        (2, 20, False, 2.03), (3, 20, False, 2.19), (4, 20, False, 2.30), (3, 10, False, 2.34),
    ],
)  # fmt: skip
def test_dunnett_s_limits_are_those_of_his_tables(
    num: int, df: int, two_sided: bool, value: float
) -> None:
    assert dunnett_limit(num, df, two_sided) == pytest.approx(value, abs=0.0051)


def test_with_one_other_dunnett_and_tukey_are_student(rng: np.random.Generator) -> None:
    fit = fit_pooled(rng.normal(size=(2, 6)))
    assert fit is not None
    student = stats.t.ppf(0.975, fit.df) * fit.error
    assert fit.dunnett() == pytest.approx(student)
    assert fit.tukey() == pytest.approx(student, rel=1e-4)
    mean, low, high = fit.moderated(0, 1)
    assert (low, high) == pytest.approx((mean - student, mean + student))
    assert fit.may_be_best(True)


def test_the_pooled_fit_is_a_two_way_analysis_of_variance(rng: np.random.Generator) -> None:
    scores = rng.normal(size=(4, 5)) + rng.normal(size=5)
    fit = fit_pooled(scores)
    assert fit is not None
    # The same sum of squares by least squares on indicators.
    design = np.array(
        [[float(a == b) for b in range(4)] + [float(r == s) for s in range(5)]
         for a in range(4) for r in range(5)]
    )  # fmt: skip
    solved = np.linalg.lstsq(design, scores.reshape(-1), rcond=None)[0]
    rest = ((scores.reshape(-1) - design @ solved) ** 2).sum()
    assert fit.df == 12
    assert fit.variance == pytest.approx(rest / 12)
    assert fit.error == pytest.approx(math.sqrt(2 * rest / 12 / 5))
    gaps = scores.copy()
    gaps[2, 1] = np.nan
    without = fit_pooled(np.delete(scores, 1, axis=1))
    found = fit_pooled(gaps)
    assert found is not None
    assert without is not None
    assert found.variance == without.variance


def test_a_noisy_configuration_is_named(rng: np.random.Generator) -> None:
    scores = rng.normal(size=(5, 8))
    scores[3] *= 20
    fit = fit_pooled(scores)
    assert fit is not None
    assert fit.unstable == (3,)
    assert fit_pooled(np.ones((3, 4))) is None
    assert fit_pooled(rng.normal(size=(3, 1))) is None


@pytest.mark.parametrize("higher", [True, False])
def test_the_best_is_among_those_that_may_be(rng: np.random.Generator, higher: bool) -> None:
    true = np.array([0.0, 0.5, 3.0, 3.2])
    kept, chance = 0, np.zeros(4)
    for _ in range(200):
        scores = (true if higher else -true)[:, None] + rng.normal(size=(4, 5))
        fit = fit_pooled(scores)
        assert fit is not None
        kept += 3 in fit.may_be_best(higher)
        ranks = fit.rank_chances(higher)
        assert np.allclose(ranks.sum(axis=0), 1)
        assert np.allclose(ranks.sum(axis=1), 1)
        chance += ranks[:, 0] / 200
    assert kept >= 184
    assert chance.sum() == pytest.approx(1)
    assert chance[3] > chance[2] > chance[1]
    assert chance[0] < 0.01


def test_the_moderated_interval_lies_between_that_of_the_pair_and_that_of_all(
    rng: np.random.Generator,
) -> None:
    scores = rng.normal(size=(6, 5)) * np.array([1, 1, 1, 1, 1.5, 2])[:, None]
    fit = fit_pooled(scores)
    assert fit is not None
    mean, low, high = fit.moderated(0, 5)
    assert mean == pytest.approx(paired(scores[0], scores[5]).mean)
    assert low < mean < high


def test_new_volumes(rng: np.random.Generator) -> None:
    """Where volumes differ much, an interval for them is far wider than one for these."""
    volumes = np.array([0.0, 8.0, -6.0, 3.0])
    first = rng.normal(size=(6, 4)) + volumes
    found = on_new_volumes(first, np.zeros((6, 4)))
    seeds = paired(first.mean(axis=1), np.zeros(6))
    assert found.high - found.low > 4 * (seeds.high - seeds.low)
    assert "fewer than three volumes" in on_new_volumes(first[:, :2], first[:, :2] + 1).reason
    assert "fewer than two pairs" in on_new_volumes(first[:1], first[:1] + 1).reason


def test_equivalence_needs_more_than_no_difference(rng: np.random.Generator) -> None:
    first = rng.normal(0, 0.1, 8)
    found = paired(first, rng.normal(0, 0.1, 8))
    assert found.within(1.0)
    assert not found.within(0.01)
    half = stats.t.ppf(0.95, 7) * found.sd / math.sqrt(8)
    assert not found.within(abs(found.mean) + half - 1e-9)
    assert found.within(abs(found.mean) + half + 1e-9)


def test_the_moderated_interval_by_hand() -> None:
    """Smyth 2004 on a table whose numbers can be followed."""
    scores = np.array(
        [[1.0, 2.0, 4.0, 3.0], [1.5, 2.5, 3.0, 3.5], [2.0, 2.0, 5.0, 2.5], [0.0, 3.0, 3.5, 4.0]]
    )
    fit = fit_pooled(scores)
    assert fit is not None
    pairs = [(a, b) for a in range(4) for b in range(a + 1, 4)]
    own = [(scores[a] - scores[b]).var(ddof=1) for a, b in pairs]
    excess = np.log(own).var(ddof=1) - polygamma(1, 3 / 2)
    prior = 2 * brentq(lambda x: polygamma(1, x) - excess, 1e-3, 1e8) if excess > 0 else math.inf
    for (a, b), variance in zip(pairs, own, strict=True):
        if math.isinf(prior):
            expected, df = 2 * fit.variance, 9.0
        else:
            expected = (prior * 2 * fit.variance + 3 * variance) / (prior + 3)
            df = min(prior + 3, 9.0)
        half = stats.t.ppf(0.975, df) * math.sqrt(expected / 4)
        mean, low, high = fit.moderated(a, b)
        assert (mean - low, high - mean) == pytest.approx((half, half))


def test_new_volumes_by_hand() -> None:
    """Mean squares of a crossed table, and Satterthwaite's degrees of freedom."""
    differences = np.array([[1.0, 2.0, 4.0], [2.0, 2.5, 6.0], [1.5, 3.5, 4.5], [0.5, 2.0, 6.5]])
    found = on_new_volumes(differences, np.zeros_like(differences))
    mean = differences.mean()
    runs = 3 * ((differences.mean(axis=1) - mean) ** 2).sum() / 3
    volumes = 4 * ((differences.mean(axis=0) - mean) ** 2).sum() / 2
    rest = differences - differences.mean(axis=1)[:, None] - differences.mean(axis=0) + mean
    both = (rest**2).sum() / 6
    total = runs + volumes - both
    if total > max(runs, volumes):
        df = total**2 / (runs**2 / 3 + volumes**2 / 2 + both**2 / 6)
    else:
        total, df = (runs, 3) if runs > volumes else (volumes, 2)
    half = stats.t.ppf(0.975, df) * math.sqrt(total / 12)
    assert (found.low, found.high) == pytest.approx((mean - half, mean + half))
    assert "differ by the same" in on_new_volumes(differences, differences + 0.1).reason


def test_the_best_of_two_is_a_one_sided_test() -> None:
    scores = np.array([[1.0, 2.0, 3.0, 4.0], [1.2, 2.1, 3.4, 4.1]])
    fit = fit_pooled(scores)
    assert fit is not None
    limit = stats.t.ppf(0.95, 3) * fit.error
    gap = fit.means[1] - fit.means[0]
    assert (0 in fit.may_be_best(True)) == (gap <= limit)
    sd = math.sqrt(fit.variance / 4)
    chance = stats.t.cdf(gap / (sd * math.sqrt(2)), 3)
    assert fit.rank_chances(True)[1, 0] == pytest.approx(chance, abs=0.01)


def test_large_numbers_of_pairs() -> None:
    assert needed_pairs(0.1) == pytest.approx(787, abs=2)
    assert needed_pairs(1.0, 0.005) > needed_pairs(1.0)  # type: ignore[operator]
