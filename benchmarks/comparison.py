"""How often the statistics of `compare` are right, on runs that are drawn with known differences.

Each row is one kind of runs; "cover" is the share of 95 % intervals that hold the true difference,
"claims" how often a family of pairs without any difference has one that is called decided.

    python benchmarks/comparison.py [draws=4000]
"""

from __future__ import annotations

import sys
from itertools import combinations

import numpy as np

from dacapo.comparison.statistics import fit_pooled, holm, on_new_volumes, paired

_CORRELATION = 0.3
"""Of runs of one repetition, which share their data."""
_EFFECT = 1.5
"""In standard deviations of a run."""


def runs(
    rng: np.random.Generator, kind: str, num: int, count: int
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """(configurations, repetitions), all with a true mean of 0."""
    shared = rng.standard_normal(count) * np.sqrt(_CORRELATION)
    own = rng.standard_normal((num, count))
    if kind == "heavy tails":
        own = rng.standard_t(3, (num, count)) / np.sqrt(3)
    elif kind == "skewed alike":
        own = rng.exponential(size=(num, count)) - 1
    elif kind == "one skewed":
        own[0] = (rng.lognormal(size=count) - np.exp(0.5)) / 2.16
    elif kind == "one noisy":
        own[0] *= 3
    scores = shared + own * np.sqrt(1 - _CORRELATION)
    if kind == "one in ten fails":
        scores[rng.random(scores.shape) < 0.1] = np.nan
    return scores


def row(kind: str, num: int, count: int, draws: int) -> str:
    rng = np.random.default_rng(1)
    pairs = list(combinations(range(num), 2))
    cover, moderated, together, best, claims, power, unstable = 0, 0, 0, 0, 0, 0, 0
    num_intervals = num_fits = num_moderated = 0
    for _ in range(draws):
        scores = runs(rng, kind, num, count)
        family = holm([paired(scores[a], scores[b]) for a, b in pairs])
        claims += any(d.is_decided for d in family)
        num_intervals += sum(not d.reason for d in family)
        cover += sum(d.low <= 0 <= d.high for d in family)
        shifted = holm([paired(scores[a] + _EFFECT * (a == 0), scores[b]) for a, b in pairs])
        power += shifted[0].is_decided
        fit = fit_pooled(scores)
        if fit is None:
            continue
        unstable += bool(fit.unstable)
        num_fits += 1
        width = fit.tukey()
        gaps = [fit.means[a] - fit.means[b] for a, b in pairs]
        together += all(abs(gap) <= width for gap in gaps)
        best += 0 in fit.may_be_best(higher_is_better=True)
        if num > 3:
            num_moderated += len(pairs)
            found = [fit.moderated(a, b) for a, b in pairs]
            moderated += sum(low <= 0 <= high for _, low, high in found)
    shares = [
        cover / max(num_intervals, 1), claims / draws, power / draws,
        moderated / num_moderated if num_moderated else np.nan,
        together / max(num_fits, 1), best / max(num_fits, 1), unstable / draws,
    ]  # fmt: skip
    return f"| {kind} | {num} | {count} | " + " | ".join(_percent(s) for s in shares) + " |"


def volumes(num_volumes: int, count: int, differ: float, draws: int) -> str:
    """The difference on new volumes, where it varies between volumes."""
    rng = np.random.default_rng(1)
    cover = seeds = 0
    for _ in range(draws):
        of_volumes = rng.standard_normal(num_volumes) * differ
        of_runs = rng.standard_normal((count, 1))
        first = of_runs + of_volumes + rng.standard_normal((count, num_volumes)) * 0.5
        second = np.zeros_like(first)
        found = on_new_volumes(first, second)
        cover += found.low <= 0 <= found.high
        these = paired(first.mean(axis=1), second.mean(axis=1))
        seeds += these.low <= 0 <= these.high
    return (
        f"| {num_volumes} | {count} | {differ:g} | {_percent(cover / draws)} | "
        f"{_percent(seeds / draws)} |"
    )


def _percent(share: float) -> str:
    return "" if np.isnan(share) else f"{100 * share:.1f}"


def main() -> None:
    """Print both tables."""
    given = dict(argument.split("=") for argument in sys.argv[1:])
    draws = int(given.get("draws", 4000))
    print(
        "| runs | configs | repetitions | cover: pair | claims | power | cover: moderated | "
        "cover: Tukey | best is named | unstable |\n|" + " --- |" * 10
    )
    for kind in (
        "alike", "heavy tails", "skewed alike", "one skewed", "one noisy", "one in ten fails",
    ):  # fmt: skip
        for num, count in ((2, 3), (2, 5), (4, 3), (4, 5), (4, 10), (8, 5)):
            print(row(kind, num, count, draws if num < 8 else draws // 4), flush=True)
    print(
        "\n| volumes | repetitions | sd between volumes | cover: new volumes | cover: pair |\n|"
        + " --- |" * 5
    )
    for num_volumes, count in ((3, 5), (5, 3), (5, 5), (10, 5)):
        for differ in (0.0, 1.0, 3.0):
            print(volumes(num_volumes, count, differ, draws), flush=True)


if __name__ == "__main__":
    main()
