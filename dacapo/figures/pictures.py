"""The picture of a segmentation, as PNG."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import ceil, floor, log10, prod
from typing import Any

import numpy as np
from funlib.geometry import Coordinate
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dacapo.arrays.units import from_world, scale_of
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
_REGION = 128
"""Edge of the windows that are ranked, in pixels."""
_SMALL_REGION = 64
_RANKED = ("best", "median", "worst")
_LEGEND = (
    "blue: not annotated; grey: background; red line: a border that is missed (merged or lost "
    "objects); yellow line: one that is not there (split or false objects)"
)


@dataclass(frozen=True)
class ShownVolumes:
    """What pictures of a segmentation show, on the grid of the ground truth.

    Attributes:
        raw: (*spatial), the first channel.
        prediction: (C, *spatial), of the dataset's labelled region.
        channels: names of the prediction's channels.
        objects, segments: (*spatial) numbers; the segment that matches an object has its number.
        known: (*spatial), 0 where nothing is annotated.
    """

    dataset: Dataset
    raw: Labels
    prediction: Labels
    channels: Sequence[str]
    objects: Labels
    segments: Labels
    known: Labels

    @classmethod
    def of(
        cls, dataset: Dataset, evaluator: Evaluator, prediction: Labels, channels: Sequence[str],
        segmentation: Labels,
    ) -> ShownVolumes:  # fmt: skip
        """Of a dataset, its prediction and its segmentation.

        Args:
            evaluator: defines how ground truth and segmentation are shown as labels.
            segmentation: of the dataset's labelled region.
        """
        roi = dataset.gt.roi
        known = dataset.read_mask(roi)
        gt, segmentation = evaluator.shown(dataset.read_gt(roi), segmentation)
        gt = np.where(known != 0, gt, np.zeros((), gt.dtype))
        raw = nearest(dataset.read_raw(roi)[0], gt.shape)
        return cls(dataset, raw, prediction, channels, *matching_numbers(gt, segmentation), known)


def draw_sections(shown: ShownVolumes, title: str) -> bytes:
    """Raw, prediction, ground truth and segmentation, in sections with many objects."""
    return _drawn(shown, _sections(shown), title)


def draw_regions(shown: ShownVolumes, title: str) -> bytes | None:
    """The same of the best, the median and the worst region; None if there are too few."""
    regions = _regions(shown)
    return _drawn(shown, regions, title) if regions else None


def _drawn(shown: ShownVolumes, sections: Sequence[_Section], title: str) -> bytes:
    objects, segments, known = shown.objects, shown.segments, shown.known
    palette = distinct_colours([v[s.index] for s in sections for v in (objects, segments)])
    heights = [s.height / s.width for s in sections]
    figure = Figure(figsize=(14, 1.0 + sum(3.15 * h + 0.6 for h in heights)), layout="constrained")
    axes = figure.subplots(len(sections), 4, squeeze=False, height_ratios=heights)
    for row, section in zip(axes, sections, strict=True):
        at = section.index
        grey = grey_image(shown.raw[at])
        predicted, what = _prediction_image(shown.prediction, shown.channels, at)
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
        _scale_bar(row[0], section, shown.dataset.gt.unit)
    nothing = "" if segments.any() else " (nothing was found)"
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


def _sections(shown: ShownVolumes) -> list[_Section]:
    """The image itself in 2D; in 3D, a section across the first axis and one along it."""
    objects, gt = shown.objects, shown.dataset.gt
    names = [name.lstrip("-") for name in gt.axis_names]
    size: Coordinate = gt.voxel_size
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


def _regions(shown: ShownVolumes) -> list[_Section]:
    """Windows of sections across the first axis: that with the smallest share of voxels that are
    not in the segment of their object, the median and that with the largest.

    At least half of a window is annotated, and a twentieth belongs to objects.
    """
    gt, dims = shown.dataset.gt, shown.objects.ndim
    plane = shown.objects.shape[-2:]
    edges = [min(n, max(_SMALL_REGION, min(_REGION, n // 2))) for n in plane]
    wrong = (shown.objects != shown.segments) & (shown.known != 0)
    found: list[tuple[float, tuple[slice | int, ...]]] = []
    places = product(range(shown.objects.shape[0])) if dims == 3 else [()]
    windows = list(product(*map(_windows, plane, edges)))
    for place, window in product(places, windows):
        at = (*place, *window)
        known = int((shown.known[at] != 0).sum())
        held = int((shown.objects[at] != 0).sum())
        if 2 * known >= prod(edges) and 20 * held >= known:
            found.append((float(wrong[at].sum()) / known, at))
    if len(found) < len(_RANKED):
        return []
    found.sort(key=lambda pair: pair[0])
    names = [name.lstrip("-") for name in gt.axis_names]
    size = from_world(gt.voxel_size, gt.unit)
    corner = from_world(gt.offset, gt.unit)
    sections, y_size, x_size = [], *gt.voxel_size[-2:]
    for rank, number in zip(_RANKED, (0, len(found) // 2, -1), strict=True):
        share, at = found[number]
        centre = [(a.start + a.stop) / 2 if isinstance(a, slice) else a + 0.5 for a in at]
        where = [c + n * s for c, n, s in zip(corner, centre, size, strict=True)]
        text = ", ".join(f"{name} = {value:.5g}" for name, value in zip(names, where, strict=True))
        sections.append(
            _Section(
                f"{rank} region: {share:.0%} wrong\n{text} {gt.unit}", at,
                (names[-2], names[-1]), (y_size, x_size), (edges[0], edges[1]),
            )
        )  # fmt: skip
    return sections


def _windows(length: int, edge: int) -> list[slice]:
    """Windows that cover a length, with little overlap.

    >>> _windows(10, 4)
    [slice(0, 4, None), slice(3, 7, None), slice(6, 10, None)]
    """
    num = ceil(length / edge)
    begins = [round(i * (length - edge) / max(1, num - 1)) for i in range(num)]
    return [slice(begin, begin + edge) for begin in begins]


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
