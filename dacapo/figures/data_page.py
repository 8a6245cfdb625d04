"""A page about data: a table, warnings, and sections of raw and labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
from funlib.geometry import Coordinate, Roi

from dacapo.arrays.units import from_world
from dacapo.errors import InputError
from dacapo.experiments.datasplits.datasets import Dataset
from dacapo.experiments.datasplits.datasplit import DataSplit
from dacapo.experiments.datasplits.findings import Findings, inspect_labels, unused_ignore_label
from dacapo.figures.colours import (
    contrast,
    distinct_colours,
    grey_image,
    mark_unknown,
    matching_numbers,
    overlay,
)
from dacapo.figures.html import HtmlFigure, Section, html_page
from dacapo.figures.pictures import richest
from dacapo.ops.resize import nearest

_MAX_EDGE = 512
_MAX_READ = 256**3
Classes = Mapping[str, Sequence[int]]


class DataReport:
    """A report on a data split: rows of a table, warnings, and a page with pictures.

    Args:
        classes: the task's classes: class -> label ids.
    """

    def __init__(self, datasplit: DataSplit, classes: Classes) -> None:
        found = {
            f"{part}.{dataset.name}": (dataset, inspect_labels(dataset, classes))
            for part in ("train", "validate", "test")
            for dataset in getattr(datasplit, part)
        }
        kind = "classes" if classes else "objects"
        self.columns = ["volume", "raw", "voxel size", "range", "labels", kind, "annotated"]
        self.rows = [[n, *_cells(d, findings, classes)] for n, (d, findings) in found.items()]
        self.warnings = [f"{n}: {w}" for n, (_, f) in found.items() for w in f.warnings]
        self.warnings += unused_ignore_label([dataset for dataset, _ in found.values()])
        self._datasets = {name: dataset for name, (dataset, _) in found.items()}
        try:
            datasplit.check_apart(datasplit.train[0].gt.voxel_size * 0)
        except InputError as error:
            self.warnings.append(str(error))
        held = {i for _, f in found.values() for i in f.sizes}
        self.warnings += [
            f"class {name} has no annotated voxel in any volume"
            for name, ids in classes.items()
            if not held & set(ids)
        ]

    def page(self) -> str:
        """The page as HTML."""
        sections = [
            Section(
                name,
                [dataset.raw.name, f"{dataset.gt.name}, {dataset.gt.extent()}"],
                _groups(dataset),
            )
            for name, dataset in self._datasets.items()
        ]
        return html_page(
            "Data", sections, columns=self.columns, rows=self.rows, warnings=self.warnings
        )


def _cells(dataset: Dataset, findings: Findings, classes: Mapping[str, Sequence[int]]) -> list[str]:
    """The cells of a dataset's row."""
    raw, gt, sizes = dataset.raw, dataset.gt, findings.sizes
    about = "" if findings.is_whole else "about "
    held = f"{sum(i != 0 for i in sizes)}"
    if classes:
        known = max(1, sum(sizes.values()))
        shares = {name: sum(sizes.get(i, 0) for i in ids) / known for name, ids in classes.items()}
        held = ", ".join(f"{name} {share:.1%}" for name, share in shares.items())
    return [
        f"{_shape(raw.source.shape)} {raw.dtype}",
        f"{_shape(from_world(raw.voxel_size, raw.unit))} {raw.unit}",
        f"{findings.low:g} to {findings.high:g}",
        f"{_shape(gt.shape)} {gt.dtype}",
        f"{about}{held}",
        "assumed all" if dataset.is_fully_annotated else f"{about}{findings.annotated:.1%}",
    ]


def _shape(sizes: Sequence[float]) -> str:
    return "x".join(f"{s:g}" for s in sizes)


def _groups(dataset: Dataset) -> list[list[HtmlFigure]]:
    """Pairs of raw and labels over raw; in 3D in several sections, one of them with most labels."""
    return [_pair(dataset, at) for at in _positions(dataset)]


def _positions(dataset: Dataset) -> list[int]:
    """The sections to show."""
    gt = dataset.gt
    if gt.dims == 2:
        return [0]
    num = gt.shape[0]
    quarters = [int(share * num) for share in (0.25, 0.5, 0.75)]
    if prod(gt.shape) > _MAX_READ:
        return quarters
    most = richest(dataset.read_gt(gt.roi) * (dataset.read_mask(gt.roi) != 0), 0)
    return sorted({*quarters[::2], most})


def _pair(dataset: Dataset, at: int) -> list[HtmlFigure]:
    """Raw and labels in the middle of one section."""
    gt = dataset.gt
    begin = [max(0, (n - _MAX_EDGE) // 2) for n in gt.shape]
    shape = [min(n, _MAX_EDGE) for n in gt.shape]
    where = "the whole image"
    if gt.dims == 3:
        begin[0], shape[0] = at, 1
        position = from_world(gt.offset + gt.voxel_size * at, gt.unit)[0]
        where = f"{gt.axis_names[0].lstrip('-')} = {at} of {gt.shape[0]} ({position:g} {gt.unit})"
    if any(n > _MAX_EDGE for n in gt.shape[-2:]):
        where += f", its middle {_MAX_EDGE} voxels"
    roi = Roi(gt.offset + Coordinate(begin) * gt.voxel_size, Coordinate(shape) * gt.voxel_size)
    plane = tuple(shape[-2:])
    labels, known = dataset.read_gt(roi).reshape(plane), dataset.read_mask(roi).reshape(plane)
    raw = dataset.read_raw(dataset.raw.covering(roi))[0]
    raw = nearest(raw[0] if raw.ndim == 3 else raw, plane)
    limits = contrast(raw)
    grey = grey_image(raw, limits)
    codes = matching_numbers(labels * (known != 0).astype(labels.dtype), labels * 0)[0]
    over = mark_unknown(overlay(grey, codes, distinct_colours([codes])), known)
    y, x = from_world(gt.voxel_size, gt.unit)[-2:]
    size: dict[str, Any] = {"pixel_size": (y, x), "unit": gt.unit}
    return [
        HtmlFigure(grey, f"raw, {where}", limits=_as_stored(dataset, limits), **size),
        HtmlFigure(
            over, f"labels, {where}{'' if known.all() else '; blue: not annotated'}", **size
        ),
    ]


def _as_stored(dataset: Dataset, limits: tuple[float, float]) -> tuple[float, float]:
    """Normalised intensities of the first channel as they are in the file."""
    low, high = (float(np.ravel(level)[0]) for level in dataset.intensity_range)
    return low + limits[0] * (high - low), low + limits[1] * (high - low)
