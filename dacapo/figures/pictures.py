"""The picture of a segmentation, as PNG."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from math import floor, log10
from typing import Any

import numpy as np
from funlib.geometry import Coordinate
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dacapo.arrays.units import scale_of
from dacapo.experiments.datasplits.datasets import Dataset
from dacapo.experiments.tasks.evaluators import Evaluator
from dacapo.figures.colours import (
    distinct_colours,
    grey_image,
    mark_errors,
    mark_unknown,
    matching_numbers,
    overlay,
)
from dacapo.ops.resize import nearest

Labels = np.ndarray[Any, np.dtype[Any]]
_LEGEND = (
    "blue: not annotated; grey: background; red line: a border that is missed (merged or lost "
    "objects); yellow line: one that is not there (split or false objects)"
)


def draw_segmentation(
    dataset: Dataset,
    evaluator: Evaluator,
    prediction: Labels,
    channels: Sequence[str],
    segmentation: Labels,
    title: str,
) -> bytes:
    """Raw, prediction, ground truth and segmentation side by side, in sections with many objects.

    Args:
        evaluator: defines how ground truth and segmentation are shown as labels.
        prediction: (C, *spatial), of the dataset's labelled region.
        channels: names of the prediction's channels.
        segmentation: of the dataset's labelled region.
    """
    roi = dataset.gt.roi
    raw, known = dataset.read_raw(roi)[0], dataset.read_mask(roi)
    gt, segmentation = evaluator.shown(dataset.read_gt(roi), segmentation)
    gt = np.where(known != 0, gt, np.zeros((), gt.dtype))
    raw = nearest(raw, gt.shape)
    objects, segments = matching_numbers(gt, segmentation)
    sections = _sections(objects, dataset)
    palette = distinct_colours([v[s.index] for s in sections for v in (objects, segments)])
    heights = [s.height / s.width for s in sections]
    figure = Figure(figsize=(14, 1.0 + sum(3.15 * h + 0.6 for h in heights)), layout="constrained")
    axes = figure.subplots(len(sections), 4, squeeze=False, height_ratios=heights)
    for row, section in zip(axes, sections, strict=True):
        at = section.index
        grey = grey_image(raw[at])
        predicted, what = _prediction_image(prediction, channels, at)
        found = mark_unknown(overlay(grey, segments[at], palette), known[at])
        panels = {
            f"raw, {section.name}": grey,
            f"prediction\n{what}": predicted,
            "ground truth": mark_unknown(overlay(grey, objects[at], palette), known[at]),
            "segmentation": mark_errors(found, objects[at], segments[at], known[at]),
        }
        for axis, (name, image) in zip(row, panels.items(), strict=True):
            axis.imshow(image, interpolation="nearest", aspect=section.aspect)
            axis.set_title(name, fontsize=9)
            axis.set(xticks=[], yticks=[], xlabel=section.axes[1], ylabel=section.axes[0])
        _scale_bar(row[0], section, dataset.gt.unit)
    nothing = "" if segmentation.any() else " (nothing was found)"
    figure.suptitle(f"{title}{nothing}", fontsize=11)
    figure.supxlabel(_LEGEND, fontsize=8)
    return to_png(figure)


@dataclass(frozen=True)
class _Section:
    """A section through a volume.

    Attributes:
        name: where it is.
        index: of its voxels.
        axes: names of its vertical and its horizontal axis.
        voxel_size: along both, in world units.
        shape: in voxels.
    """

    name: str
    index: tuple[slice | int, ...]
    axes: tuple[str, str]
    voxel_size: tuple[int, int]
    shape: tuple[int, int]

    @property
    def height(self) -> int:
        return self.shape[0] * self.voxel_size[0]

    @property
    def width(self) -> int:
        return self.shape[1] * self.voxel_size[1]

    @property
    def aspect(self) -> float:
        return self.voxel_size[0] / self.voxel_size[1]


def _sections(objects: Labels, dataset: Dataset) -> list[_Section]:
    """The image itself in 2D; in 3D, a section across the first axis and one along it."""
    names = [name.lstrip("-") for name in dataset.gt.axis_names]
    size: Coordinate = dataset.gt.voxel_size
    found = []
    for across in (0, 1) if objects.ndim == 3 else (None,):
        kept = [a for a in range(objects.ndim) if a != across]
        index: list[slice | int] = [slice(None)] * objects.ndim
        name = "whole image"
        if across is not None:
            at = richest(objects, across)
            index[across] = at
            name = f"{names[across]} = {at} of {objects.shape[across]}"
        y, x = kept
        found.append(
            _Section(
                name, tuple(index), (names[y], names[x]), (size[y], size[x]),
                (objects.shape[y], objects.shape[x]),
            )
        )  # fmt: skip
    return found


def richest(labels: Labels, axis: int) -> int:
    """The section with the most labels; of several, the one that is nearest to the middle."""
    sections = np.moveaxis(labels, axis, 0)
    counts = [len(np.unique(section)) for section in sections]
    middle = (len(counts) - 1) / 2
    return max(range(len(counts)), key=lambda i: (counts[i], -abs(i - middle)))


def _prediction_image(
    prediction: Labels, channels: Sequence[str], at: tuple[slice | int, ...]
) -> tuple[Labels, str]:
    """The first three channels as red, green and blue; fewer than three as grey."""
    if len(prediction) < 3:
        return grey_image(prediction[0][at]), channels[0]
    shown = np.stack([grey_image(channel[at])[..., 0] for channel in prediction[:3]], axis=-1)
    first = f"{channels[0].partition(' ')[0]} "  # the same of all affinities
    names = [channels[0], *(name.removeprefix(first) for name in channels[1:3])]
    return shown, f"{'; '.join(names)} as red, green, blue"


def nice_length(width: float) -> float:
    """A round number near a fifth of a width.

    >>> nice_length(384.0), nice_length(1000.0)
    (50.0, 200.0)
    """
    target = width / 5
    power = 10.0 ** floor(log10(target))
    return float(max(n for n in (1, 2, 5) if n * power <= target) * power)


def _scale_bar(axis: Axes, section: _Section, unit: str) -> None:
    """A white bar in the lower left corner, with its length."""
    scale = scale_of(unit, "unit")
    length = nice_length(section.width / scale)
    rows, columns = section.shape
    begin, y = 0.04 * columns, 0.95 * rows
    pixels = length * scale / section.voxel_size[1]
    style: dict[str, Any] = {"color": "white", "path_effects": _outline()}
    axis.plot([begin, begin + pixels], [y, y], linewidth=3, solid_capstyle="butt", **style)
    axis.text(begin, y - 0.02 * rows, f"{length:g} {unit}", fontsize=9, va="bottom", **style)


def _outline() -> list[Any]:
    from matplotlib.patheffects import withStroke

    return [withStroke(linewidth=4, foreground="black")]


def to_png(figure: Figure) -> bytes:
    """A figure as a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()
