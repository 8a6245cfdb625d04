"""The curves of a run, as PNG."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from dacapo.experiments.training_stats import TrainingStats
from dacapo.experiments.validation_scores import ValidationScores
from dacapo.figures.pictures import to_png

_SMOOTHED_STEPS = 25


def draw_curves(
    stats: TrainingStats, scores: ValidationScores, criterion: str, title: str
) -> bytes:
    """The loss, and the selecting criterion with each validation's best parameters."""
    figure = Figure(figsize=(10, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    _draw_loss(left, stats)
    _draw_scores(right, scores, criterion)
    for axis in (left, right):
        axis.set_xlabel("iteration")
        axis.set_xlim(left=0)
        axis.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axis.xaxis.set_major_formatter(EngFormatter(sep=""))
        axis.grid(alpha=0.3)
    figure.suptitle(title, fontsize=11)
    return to_png(figure)


def _draw_loss(axis: Axes, stats: TrainingStats) -> None:
    loss = stats.to_xarray()
    axis.plot(loss["iterations"], loss, color="0.8", linewidth=0.5, label="each step")
    if loss.size >= _SMOOTHED_STEPS:
        smooth = np.convolve(loss, np.ones(_SMOOTHED_STEPS) / _SMOOTHED_STEPS, mode="valid")
        label = f"mean of {_SMOOTHED_STEPS} steps"
        axis.plot(loss["iterations"][_SMOOTHED_STEPS - 1 :], smooth, color="C0", label=label)
    axis.set_ylabel("training loss")
    values = np.asarray(loss)[np.isfinite(loss)]
    if values.size and values.min() > 0 and values.max() > 10 * values.min():
        axis.set_yscale("log")
    axis.legend(fontsize=8)


def _draw_scores(axis: Axes, scores: ValidationScores, criterion: str) -> None:
    values = scores.to_xarray().sel(criteria=criterion)
    best = scores.get_best(values, "parameters")[1]
    for name in values["datasets"].values:
        axis.plot(best["iterations"], best.sel(datasets=name), marker="o", ms=4, label=name)
    table = scores.evaluation_scores
    unit = table.describe(criterion)[0]
    better = "higher" if table.higher_is_better(criterion) else "lower"
    axis.set_ylabel(f"{criterion}{'' if unit == '1' else f' ({unit})'}, {better} is better")
    chosen = scores.best(criterion)
    if chosen is not None:
        label = f"best mean: {chosen.value:.3f} at {chosen.iteration}"
        axis.axvline(chosen.iteration, color="0.4", linestyle="--", linewidth=1, label=label)
    axis.margins(y=0.15)
    axis.set_ylim(bottom=0)
    axis.legend(fontsize=8)
