"""A comparison of configurations, as tables and sentences in the terminal."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dacapo.comparison.run_record import COSTS
from dacapo.comparison.statistics import Difference
from dacapo.comparison.verdict import Comparison
from dacapo.errors import printable
from dacapo.training.terminal import console, duration, print_table

_FORMATS = {"iterations_per_second": ".3g", "loop_efficiency": ".0%", "energy_wh": ".3g"}
"""How costs are shown; others as whole numbers."""
_MAX_PAIRS = 15
"""More pairs than these are listed only as far as they are decided, or of the best."""


@dataclass(frozen=True)
class Row:
    """Cells of a table.

    Attributes:
        labels: of the configurations that it is about, as JSON.
    """

    cells: Sequence[str]
    labels: str


@dataclass(frozen=True)
class Table:
    """A table with a caption."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Row]
    caption: str


def print_comparison(comparison: Comparison) -> None:
    """Print the verdict, and the tables behind it."""
    sentences = list(comparison.sentences())
    if sentences:
        console.print("Verdict" if comparison.part == "validate" else "Verdict, test")
    for sentence in sentences:
        console.print(printable(f"- {sentence}"))
    for table in tables(comparison):
        rows = [list(row.cells) for row in table.rows]
        print_table(table.title, list(table.columns), rows, table.caption)


def tables(comparison: Comparison) -> list[Table]:
    """The configurations, their costs, differences and the effects of factors; none is empty."""
    direction = "higher" if comparison.higher_is_better else "lower"
    unit = "" if comparison.units in ("", "1") else f" in {comparison.units}"
    of = f"{comparison.criterion}{unit} on {', '.join(comparison.volumes)}"
    found = [
        Table(
            "Configurations" if comparison.part == "validate" else "Configurations, test",
            ["configuration", "runs", "failed", "collapsed", "mean", "sd", "min", "max",
             "P(best)"],
            [_row(row, 1) for row in _configurations(comparison)],
            f"{of}; {direction} is better. Finished runs only.",
        ),
        Table(
            "Costs",
            ["configuration", "mean", "training", "MiB", "MiB of GPU", "parameters", "voxels/s",
             "it/s", "of step", "predicted/s", "Wh", "front"],
            [_row(row, 1) for row in _costs(comparison)],
            "Medians of finished runs; training without validation, voxels of output per second of "
            "it. of step: its speed, compared with that of steps by themselves. predicted/s: "
            "voxels predicted per second. Wh: of the machine's processors (RAPL) and of the GPU "
            "(NVML), as far as these count, by runs of a single process. front: no other is both "
            "better and faster.",
        ),
        Table(
            "Differences",
            ["better", "worse", "difference", "95 % interval", "pairs", "p (Holm)",
             "moderated"],
            [_row(row, 2) for row in _differences(comparison)],
            _about_differences(comparison),
        ),
        Table(
            "Effects",
            ["factor", "first", "second", "averaged over", "first - second", "95 % interval",
             "pairs", "p (Holm)"],
            [
                _row([factor, first, second, str(count), *_numbers(difference)], 0)
                for factor, first, second, count, difference in comparison.effects()
            ],
            "Averaged over the combinations of all other factors that were run with each value.",
        ),
    ]  # fmt: skip
    return [table for table in found if table.rows]


def _row(cells: Sequence[str], num_labels: int) -> Row:
    return Row(cells, json.dumps(list(cells[:num_labels])))


def _configurations(comparison: Comparison) -> list[list[str]]:
    chances = comparison.chances
    rows = []
    for k in [*comparison.order, *(k for k in range(len(comparison.configurations))
                                   if k not in comparison.order)]:  # fmt: skip
        c, values = comparison.configurations[k], comparison.means[k]
        values = values[np.isfinite(values)]
        numbers = [""] * 4
        if len(values):
            spread = f"{values.std(ddof=1):.3f}" if len(values) > 1 else ""
            numbers = [f"{values.mean():.3f}", spread, f"{values.min():.3f}", f"{values.max():.3f}"]
        counts = [str(len(values)), str(c.num_failed or ""), str(c.num_collapsed or "")]
        chance = f"{chances[k]:.2f}" if k in chances else ""
        rows.append([c.label, *counts, *numbers, chance])
    rows += [
        [f"{name} (not of a run)", "1", "", "", f"{score:.3f}", "", "", "", ""]
        for name, score in comparison.elsewhere.items()
    ]
    return rows


def _costs(comparison: Comparison) -> list[list[str]]:
    rows = []
    for k in comparison.order if len(comparison.order) > 1 else ():
        costs = comparison.configurations[k].costs
        known = {
            key: "" if np.isnan(value) else format(value, _FORMATS.get(key, ".0f"))
            for key, value in costs.items()
        }
        seconds = costs["seconds"]
        rows.append(
            [
                comparison.label(k),
                f"{np.nanmean(comparison.means[k]):.3f}",
                "" if np.isnan(seconds) else duration(seconds),
                *(known[key] for key in COSTS),
                "yes" if k in comparison.front else "",
            ]
        )
    return rows


def _differences(comparison: Comparison) -> list[list[str]]:
    pairs = dict(comparison.differences)
    if len(pairs) > _MAX_PAIRS:
        best = comparison.order[0]
        pairs = {p: d for p, d in pairs.items() if best in p}
    pooled, order = comparison.pooled, comparison.order
    rows = []
    for (better, worse), difference in pairs.items():
        alike = ""
        if pooled is not None and len(order) >= 4:
            _, low, high = pooled.moderated(order.index(better), order.index(worse))
            alike = _interval(low, high)
        names = [comparison.label(better), comparison.label(worse)]
        rows.append([*names, *_numbers(difference), alike])
    return rows


def _about_differences(comparison: Comparison) -> str:
    text = "Paired by repetition, Student's t"
    pooled = comparison.pooled
    if pooled is None or len(comparison.order) < 4:
        return f"{text}."
    is_baseline = comparison.baseline in comparison.order
    text += "; moderated: with a spread between that of the pair and that of all."
    if pooled.unstable:
        return text
    half, name = (pooled.dunnett(), "Dunnett") if is_baseline else (pooled.tukey(), "Tukey")
    return (
        f"{text} If all vary alike, differences beyond {half:.3f} hold for all pairs together "
        f"({name})."
    )


def _numbers(difference: Difference) -> list[str]:
    """Mean, interval, pairs and p."""
    if difference.reason:
        mean = "" if np.isnan(difference.mean) else f"{difference.mean:.3f}"
        return [mean, "none", str(difference.count), ""]
    interval = _interval(difference.low, difference.high)
    p = "<0.001" if difference.adjusted < 0.001 else f"{difference.adjusted:.3f}"
    return [f"{difference.mean:.3f}", interval, str(difference.count), p]


def _interval(low: float, high: float) -> str:
    return f"{low:.3f} to {high:.3f}"
