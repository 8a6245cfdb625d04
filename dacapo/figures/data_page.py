"""A page about data: a table, warnings, and sections of raw and labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from funlib.geometry import Coordinate, Roi

from dacapo.arrays.units import from_world
from dacapo.errors import InputError
from dacapo.experiments.datasplits.datasets import Dataset
from dacapo.experiments.datasplits.datasplit import DataSplit
from dacapo.experiments.datasplits.findings import Findings, inspect_labels
from dacapo.figures.html import HtmlFigure, Section, html_page
from dacapo.figures.pictures import grey_image, overlay
from dacapo.ops.resize import nearest

_MAX_EDGE = 512
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
                _figures(dataset),
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
        f"{about}{findings.annotated:.1%}",
    ]


def _shape(sizes: Sequence[float]) -> str:
    return "x".join(f"{s:g}" for s in sizes)


def _figures(dataset: Dataset) -> list[HtmlFigure]:
    """Three sections: raw, and next to it the labels over raw."""
    gt, images = dataset.gt, []
    for share in (0.25, 0.5, 0.75) if gt.dims == 3 else (0.5,):
        begin = Coordinate(
            int(share * n) if a == 0 and gt.dims == 3 else max(0, (n - _MAX_EDGE) // 2)
            for a, n in enumerate(gt.shape)
        )
        shape = Coordinate(
            1 if a == 0 and gt.dims == 3 else min(n, _MAX_EDGE) for a, n in enumerate(gt.shape)
        )
        roi = Roi(gt.offset + begin * gt.voxel_size, shape * gt.voxel_size)
        labels = dataset.read_gt(roi).reshape(shape[-2:])
        labels = labels * dataset.read_mask(roi).reshape(shape[-2:]).astype(labels.dtype)
        raw = dataset.read_raw(dataset.raw.covering(roi))[0]
        raw = raw.reshape(raw.shape[-2:]) if raw.shape[0] == 1 or raw.ndim == 2 else raw[0]
        grey = grey_image(nearest(raw, labels.shape))
        small = np.unique(labels, return_inverse=True)[1].reshape(labels.shape)
        images += [HtmlFigure(grey), HtmlFigure(overlay(grey, small, labels))]
    return images
