"""How two segmentations overlap, and the scores that follow from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import fastremap
import numpy as np

Labels = np.ndarray[Any, np.dtype[Any]]
Floats = np.ndarray[Any, np.dtype[np.float64]]
Whole = np.ndarray[Any, np.dtype[np.int64]]

_DENSE_CELLS = 2**24


@dataclass(frozen=True)
class Overlap:
    """The nonzero cells of the table of truth x prediction, over the voxels that count.

    Attributes:
        counts: voxels in each cell.
        rows, columns: of each cell.
        truth, prediction: voxels of each truth object (row) and of each predicted segment (column).
        truth_ids, prediction_ids: the labels of rows and columns.
    """

    counts: Floats
    rows: Whole
    columns: Whole
    truth: Floats
    prediction: Floats
    truth_ids: Labels
    prediction_ids: Labels

    @property
    def total(self) -> float:
        return float(self.truth.sum())

    def select(self, keep: np.ndarray[Any, np.dtype[np.bool_]]) -> Overlap:
        """The table of some truth rows alone: the voxels of the others do not count."""
        cells = keep[self.rows]
        columns, counts = self.columns[cells], self.counts[cells]
        sizes = np.bincount(columns, counts, len(self.prediction)).astype(np.float64)
        return Overlap(
            counts,
            (np.cumsum(keep) - 1)[self.rows[cells]],
            columns,
            self.truth[keep],
            sizes,
            self.truth_ids[keep],
            self.prediction_ids,
        )

    def objects(self, ignore_smaller: int = 0) -> Overlap:
        """The truth objects alone: not 0, and of at least so many counted voxels."""
        return self.select((self.truth_ids != 0) & (self.truth >= ignore_smaller))


@dataclass(frozen=True)
class Compact:
    """Labels as 0..n-1, and the n labels."""

    index: Whole
    ids: Labels

    @classmethod
    def of(cls, labels: Labels) -> Compact:
        """Labels of any shape, flattened; memory goes with their number, never with the largest."""
        flat = np.ascontiguousarray(labels).reshape(-1)
        if flat.dtype.kind not in "iu":
            raise ValueError(f"labels must be integers, got {flat.dtype}")
        if flat.size == 0:
            return cls(np.zeros(0, np.int64), np.zeros(0, flat.dtype))
        renumbered, mapping = fastremap.renumber(flat, preserve_zero=False)
        ids = np.empty(len(mapping), flat.dtype)
        places = np.fromiter(mapping.values(), np.int64, len(mapping)) - 1
        ids[places] = np.fromiter(mapping.keys(), flat.dtype, len(mapping))
        return cls(renumbered.astype(np.int64) - 1, ids)


def overlap(truth: Labels | Compact, prediction: Labels) -> Overlap:
    """The overlap table of two label arrays of any shape; every voxel given counts.

    Args:
        truth: labels, or what `Compact.of` made of them, to be compared with many predictions.
        prediction: 0 is a segment like any other.
    """
    if not isinstance(truth, Compact):
        if truth.shape != prediction.shape:
            raise ValueError(
                f"truth {truth.shape} and prediction {prediction.shape} differ in shape"
            )
        truth = Compact.of(truth)
    found = Compact.of(prediction)
    num_rows, num_columns = len(truth.ids), len(found.ids)
    cell = truth.index * np.int64(num_columns) + found.index
    if num_rows * num_columns <= max(_DENSE_CELLS, cell.size):
        counts = np.bincount(cell)
        cells = np.flatnonzero(counts)
        counts = counts[cells]
    else:
        cells, counts = np.unique(cell, return_counts=True)
    rows, columns = np.divmod(cells, max(num_columns, 1))
    return Overlap(
        counts.astype(np.float64),
        rows,
        columns,
        np.bincount(rows, counts, num_rows).astype(np.float64),
        np.bincount(columns, counts, num_columns).astype(np.float64),
        truth.ids,
        found.ids,
    )


def variation_of_information(table: Overlap) -> tuple[float, float]:
    """(split, merge) in bits: H(prediction | truth) and H(truth | prediction). Meila 2007.

    NaN when no voxel counts.
    """
    if table.total == 0:
        return float("nan"), float("nan")
    joint = entropy(table.counts)
    split, merge = joint - entropy(table.truth), joint - entropy(table.prediction)
    return max(0.0, split), max(0.0, merge)


def adapted_rand(table: Overlap) -> tuple[float, float, float]:
    """(error, precision, recall) over pairs of distinct voxels. Arganda-Carreras et al. 2015.

    Precision is the share of the pairs joined by the prediction that are one object in truth,
    recall the share of the truth's pairs that the prediction joins; the error is 1 - F1. NaN where
    there are no such pairs.
    """
    joined, truth, prediction = (
        float((n * (n - 1)).sum()) for n in (table.counts, table.truth, table.prediction)
    )
    both = truth + prediction
    return (
        1 - 2 * joined / both if both else float("nan"),
        joined / prediction if prediction else float("nan"),
        joined / truth if truth else float("nan"),
    )


def entropy(counts: Floats) -> float:
    """Of the distribution with these counts, in bits."""
    p = counts[counts > 0] / counts.sum()
    return float(-(p * np.log2(p)).sum())
