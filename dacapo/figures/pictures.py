"""Pictures of a run, as PNG."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from dacapo.experiments.datasplits.datasets import Dataset
from dacapo.experiments.tasks.evaluators import Evaluator
from dacapo.experiments.training_stats import TrainingStats
from dacapo.experiments.validation_scores import ValidationScores
from dacapo.ops.resize import nearest

Labels = np.ndarray[Any, np.dtype[Any]]

_SMOOTHED_STEPS = 25


def draw_segmentation(
    dataset: Dataset, evaluator: Evaluator, segmentation: Labels, title: str
) -> bytes:
    """Raw, ground truth and segmentation side by side, in middle slices.

    The segment that best matches a ground-truth object has the object's colour, so a correct
    segmentation looks like the ground truth, and splits and false objects stand out.

    Args:
        evaluator: defines how ground truth and segmentation are shown as labels.
        segmentation: segmentation of the dataset's labelled region.
    """
    roi = dataset.gt.roi
    raw, gt = dataset.read_raw(roi)[0], dataset.read_gt(roi)
    gt, segmentation = evaluator.shown(gt, segmentation)
    gt = np.where(dataset.read_mask(roi) != 0, gt, np.zeros((), gt.dtype))
    raw = nearest(raw, gt.shape)
    ground_truth, segments = _matching_colours(gt, segmentation)
    slices = _middle_slices(gt.shape, dataset.gt.axis_names)
    aspect = {name: _aspect(dataset, index) for name, index in slices.items()}
    heights = [raw[index].shape[0] * aspect[n] / raw[index].shape[1] for n, index in slices.items()]
    figure = Figure(figsize=(12, 0.6 + sum(4 * h + 0.3 for h in heights)), layout="constrained")
    axes = figure.subplots(len(slices), 3, squeeze=False, height_ratios=heights)
    for row, (name, index) in zip(axes, slices.items(), strict=True):
        grey = grey_image(raw[index])
        panels = {
            f"raw, {name}": grey,
            "ground truth (grey: background or not annotated)": overlay(
                grey, ground_truth[index], gt[index]
            ),
            "segmentation": overlay(grey, segments[index], segmentation[index]),
        }
        for axis, (panel, image) in zip(row, panels.items(), strict=True):
            axis.imshow(image, interpolation="nearest", aspect=aspect[name])
            axis.set_title(panel, fontsize=10)
            axis.set_axis_off()
    figure.suptitle(title, fontsize=11)
    return _png(figure)


def draw_curves(stats: TrainingStats, scores: ValidationScores, criterion: str) -> bytes:
    """The loss, and the selecting criterion with each validation's best parameters."""
    figure = Figure(figsize=(10, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    loss = stats.to_xarray()
    left.plot(loss["iterations"], loss, color="0.8", linewidth=0.5)
    if loss.size >= _SMOOTHED_STEPS:
        smooth = np.convolve(loss, np.ones(_SMOOTHED_STEPS) / _SMOOTHED_STEPS, mode="valid")
        left.plot(loss["iterations"][_SMOOTHED_STEPS - 1 :], smooth, color="C0")
    left.set(xlabel="iteration", ylabel="loss", yscale="log" if (loss > 0).all() else "linear")
    values = scores.to_xarray().sel(criteria=criterion)
    best = scores.get_best(values, "parameters")[1]
    for name in values["datasets"].values:
        right.plot(best["iterations"], best.sel(datasets=name), marker="o", label=name)
    right.set(xlabel="iteration", ylabel=f"{criterion}, best parameters")
    right.margins(y=0.1)
    right.set_ylim(bottom=0)
    right.legend(fontsize=8)
    return _png(figure)


def _middle_slices(
    shape: tuple[int, ...], names: tuple[str, ...]
) -> dict[str, tuple[slice | int, ...]]:
    """The image itself in 2D; in 3D, one slice across the first axis and one along it."""
    if len(shape) == 2:
        return {"whole image": (slice(None), slice(None))}
    z, y, _ = (n // 2 for n in shape)
    return {
        f"{names[0]} = voxel {z}": (z, slice(None), slice(None)),
        f"{names[1]} = voxel {y}": (slice(None), y, slice(None)),
    }


def _aspect(dataset: Dataset, index: tuple[slice | int, ...]) -> float:
    kept = [s for s, i in zip(dataset.gt.voxel_size, index, strict=True) if isinstance(i, slice)]
    return float(kept[0] / kept[1])


def _matching_colours(gt: Labels, segmentation: Labels) -> tuple[Labels, Labels]:
    """The number of the colour of each voxel, in ground truth and in the segmentation."""
    ids, ground_truth = np.unique(gt, return_inverse=True)
    found, segments = np.unique(segmentation, return_inverse=True)
    ground_truth, segments = ground_truth.reshape(gt.shape), segments.reshape(gt.shape)
    counted = (gt != 0) & (segmentation != 0)
    cells, sizes = np.unique(
        ground_truth[counted].astype(np.int64) * len(found) + segments[counted], return_counts=True
    )
    colour = len(ids) + np.arange(len(found))
    taken: set[int] = set()
    for cell in cells[np.argsort(-sizes)]:
        object_, segment = divmod(int(cell), len(found))
        if object_ not in taken and colour[segment] >= len(ids):
            taken.add(object_)
            colour[segment] = object_
    return ground_truth, colour[segments]


def grey_image(values: Labels) -> Labels:
    """Values (Y, X) in [0, 1] as an image (Y, X, 3)."""
    return np.repeat(np.clip(values, 0, 1)[..., None], 3, axis=-1)


def overlay(grey: Labels, colour: Labels, labels: Labels) -> Labels:
    """Colours over grey, with dark borders between labels; label 0 stays grey."""
    palette = np.random.default_rng(3).uniform(0.15, 1.0, (int(colour.max()) + 1, 3))
    image = 0.45 * grey + 0.55 * palette[colour]
    border = np.zeros(labels.shape, bool)
    border[1:] |= labels[1:] != labels[:-1]
    border[:, 1:] |= labels[:, 1:] != labels[:, :-1]
    image[border] *= 0.35
    return np.where((labels == 0)[..., None], grey, image)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()
