"""The overlap of two segmentations, and the scores that follow from it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np

Labels = np.ndarray[Any, np.dtype[Any]]
Floats = np.ndarray[Any, np.dtype[np.float64]]
Whole = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class Overlap:
    """The nonzero cells of the contingency table of ground truth and prediction.

    Attributes:
        counts: voxels in each cell.
        rows, columns: of each cell.
        ground_truth, prediction: voxels of each ground-truth object (row) and of each predicted
            segment (column).
        ground_truth_ids, prediction_ids: the labels of rows and columns.
    """

    counts: Floats
    rows: Whole
    columns: Whole
    ground_truth: Floats
    prediction: Floats
    ground_truth_ids: Labels
    prediction_ids: Labels

    @property
    def total(self) -> float:
        return float(self.ground_truth.sum())

    def select(self, keep: np.ndarray[Any, np.dtype[np.bool_]]) -> Overlap:
        """The table restricted to some rows of ground truth; voxels of other rows are ignored."""
        cells = keep[self.rows]
        columns, counts = self.columns[cells], self.counts[cells]
        sizes = np.bincount(columns, counts, len(self.prediction)).astype(np.float64)
        return Overlap(
            counts,
            (np.cumsum(keep) - 1)[self.rows[cells]],
            columns,
            self.ground_truth[keep],
            sizes,
            self.ground_truth_ids[keep],
            self.prediction_ids,
        )

    def merge(self, segment: Labels) -> Overlap:
        """The table of a prediction whose segments are joined, computed without the voxels.

        Args:
            segment: maps old labels to new ones: `segment[prediction_ids]`.
        """
        ids, column = np.unique(segment[self.prediction_ids], return_inverse=True)
        cells, place = np.unique(self.rows * len(ids) + column[self.columns], return_inverse=True)
        rows, columns = np.divmod(cells, max(len(ids), 1))
        return Overlap(
            np.bincount(place, self.counts, len(cells)).astype(np.float64),
            rows,
            columns,
            self.ground_truth,
            np.bincount(column, self.prediction, len(ids)).astype(np.float64),
            self.ground_truth_ids,
            ids,
        )

    def objects(self, ignore_smaller: int = 0) -> Overlap:
        """The table restricted to ground-truth objects: not 0, and with at least so many voxels."""
        return self.select((self.ground_truth_ids != 0) & (self.ground_truth >= ignore_smaller))


def overlap(ground_truth: Labels, prediction: Labels, counted: Labels | None = None) -> Overlap:
    """The overlap table of two label arrays of any shape.

    Memory grows with the number of pairs that occur, never with the largest id.

    Args:
        ground_truth, prediction: integers; 0 is a label like any other.
        counted: the voxels to count; None: all.
    """
    for other in (prediction, counted):
        if other is not None and other.shape != ground_truth.shape:
            raise ValueError(f"ground truth {ground_truth.shape} and {other.shape} differ in shape")
    from dacapo.ops.pairs import count_pairs  # numba is imported here

    mask = None if counted is None else np.ascontiguousarray(counted != 0).reshape(-1)
    first, second, counts = count_pairs(_bits(ground_truth), _bits(prediction), mask)
    ground_truth_ids, rows = np.unique(_from_bits(first, ground_truth.dtype), return_inverse=True)
    prediction_ids, columns = np.unique(_from_bits(second, prediction.dtype), return_inverse=True)
    number = counts.astype(np.float64)
    return Overlap(
        number,
        rows,
        columns,
        np.bincount(rows, number, len(ground_truth_ids)).astype(np.float64),
        np.bincount(columns, number, len(prediction_ids)).astype(np.float64),
        ground_truth_ids,
        prediction_ids,
    )


def add_tables(tables: Iterable[Overlap]) -> Overlap:
    """The table of several regions together, of which no two share a voxel; at least one."""
    # Two sums of equally many tables are added at a time, so that each table is copied log n times.
    sums: list[tuple[int, Overlap]] = []
    for table in tables:
        sums.append((1, table))
        while len(sums) > 1 and sums[-1][0] == sums[-2][0]:
            (count, one), (_, other) = sums.pop(), sums.pop()
            sums.append((2 * count, _sum(one, other)))
    return reduce(_sum, (table for _, table in reversed(sums)))


def _sum(one: Overlap, other: Overlap) -> Overlap:
    both = (one, other)
    ground_truth_ids, of_rows = np.unique(
        np.concatenate([t.ground_truth_ids for t in both]), return_inverse=True
    )
    prediction_ids, of_columns = np.unique(
        np.concatenate([t.prediction_ids for t in both]), return_inverse=True
    )
    rows = np.concatenate([one.rows, other.rows + len(one.ground_truth_ids)])
    columns = np.concatenate([one.columns, other.columns + len(one.prediction_ids)])
    num = max(len(prediction_ids), 1)
    cells, place = np.unique(of_rows[rows] * num + of_columns[columns], return_inverse=True)

    def added(first: Floats, second: Floats, at: Whole, size: int) -> Floats:
        return np.bincount(at, np.concatenate([first, second]), size).astype(np.float64)

    return Overlap(
        added(one.counts, other.counts, place, len(cells)),
        *np.divmod(cells, num),
        added(one.ground_truth, other.ground_truth, of_rows, len(ground_truth_ids)),
        added(one.prediction, other.prediction, of_columns, len(prediction_ids)),
        ground_truth_ids,
        prediction_ids,
    )


def variation_of_information(table: Overlap) -> tuple[float, float]:
    """(split, merge) in bits: H(prediction | ground truth) and H(ground truth | prediction). Meila
    2007.

    NaN if there are no voxels.
    """
    if table.total == 0:
        return float("nan"), float("nan")
    joint = entropy(table.counts)
    split, merge = joint - entropy(table.ground_truth), joint - entropy(table.prediction)
    return max(0.0, split), max(0.0, merge)


def adapted_rand(table: Overlap) -> tuple[float, float, float]:
    """(error, precision, recall) over pairs of distinct voxels. Arganda-Carreras et al. 2015.

    Precision is the fraction of pairs joined by the prediction that are in one ground-truth object,
    recall the fraction of pairs in one ground-truth object that the prediction joins; the error is
    1 - F1. NaN if such pairs do not exist.
    """
    joined, ground_truth, prediction = (
        float((n * (n - 1)).sum()) for n in (table.counts, table.ground_truth, table.prediction)
    )
    both = ground_truth + prediction
    return (
        1 - 2 * joined / both if both else float("nan"),
        joined / prediction if prediction else float("nan"),
        joined / ground_truth if ground_truth else float("nan"),
    )


def entropy(counts: Floats) -> float:
    """Entropy of the distribution with these counts, in bits; independent of their order."""
    p = np.sort(counts[counts > 0]) / counts.sum()
    return float(-(p * np.log2(p)).sum())


def _bits(labels: Labels) -> Labels:
    """Flatten integers and view them as unsigned of 4 or 8 bytes; negative ones keep their bits."""
    if labels.dtype.kind not in "iu":
        raise ValueError(f"labels must be integers, got {labels.dtype}")
    size = 4 if labels.dtype.itemsize <= 4 else 8
    whole = np.ascontiguousarray(labels.astype(f"{labels.dtype.kind}{size}", copy=False))
    return whole.reshape(-1).view(f"u{size}")


def _from_bits(bits: Labels, dtype: np.dtype[Any]) -> Labels:
    """The inverse of `_bits`, for 8-byte numbers."""
    size = 4 if dtype.itemsize <= 4 else 8
    return bits.astype(f"u{size}").view(f"{dtype.kind}{size}").astype(dtype)
