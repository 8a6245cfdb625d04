"""How two segmentations overlap, and the scores that follow from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import fastremap
import numpy as np

Labels = np.ndarray[Any, np.dtype[Any]]
Floats = np.ndarray[Any, np.dtype[np.float64]]

_DENSE_CELLS = 2**24


@dataclass(frozen=True)
class Overlap:
    """The nonzero cells of the table of truth x prediction, over the voxels that count.

    Attributes:
        counts: voxels in each cell.
        truth, prediction: voxels of each truth object and of each predicted segment.
    """

    counts: Floats
    truth: Floats
    prediction: Floats

    @property
    def total(self) -> float:
        return float(self.truth.sum())


def counted(truth: Labels, mask: Labels | None = None, ignore_smaller: int = 0) -> Labels:
    """The voxels that a score counts: annotated, part of a truth object, and of one large enough.

    Args:
        ignore_smaller: truth objects with fewer counted voxels than this are left out.
    """
    keep: Labels = truth != 0
    if mask is not None:
        keep &= mask != 0
    if ignore_smaller > 1 and keep.any():
        which, sizes = np.unique(truth[keep], return_inverse=True, return_counts=True)[1:]
        keep[keep] = (sizes >= ignore_smaller)[which]
    return keep


def overlap(truth: Labels, prediction: Labels) -> Overlap:
    """The overlap table of two label arrays of any shape; every voxel given counts.

    Memory goes with the number of objects, never with the largest id. Predicted 0 is one segment:
    deleting an object must not help.
    """
    if truth.shape != prediction.shape:
        raise ValueError(f"truth {truth.shape} and prediction {prediction.shape} differ in shape")
    if truth.size == 0:
        return Overlap(*(np.zeros(0) for _ in range(3)))
    rows, num_rows = _compact(truth)
    columns, num_columns = _compact(prediction)
    cell = rows * np.int64(num_columns) + columns
    if num_rows * num_columns <= max(_DENSE_CELLS, truth.size):
        counts = np.bincount(cell)
        counts = counts[counts > 0]
    else:
        counts = np.unique(cell, return_counts=True)[1]
    return Overlap(
        counts.astype(np.float64),
        np.bincount(rows).astype(np.float64),
        np.bincount(columns).astype(np.float64),
    )


def variation_of_information(table: Overlap) -> tuple[float, float]:
    """(split, merge) in bits: H(prediction | truth) and H(truth | prediction). Meila 2007.

    NaN when no voxel counts.
    """
    if table.total == 0:
        return float("nan"), float("nan")
    joint = _entropy(table.counts)
    split, merge = joint - _entropy(table.truth), joint - _entropy(table.prediction)
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


def _entropy(counts: Floats) -> float:
    p = counts / counts.sum()
    return float(-(p * np.log2(p)).sum())


def _compact(labels: Labels) -> tuple[np.ndarray[Any, np.dtype[np.int64]], int]:
    """Labels as 0..n-1, and n."""
    flat = np.ascontiguousarray(labels).reshape(-1)
    if flat.dtype.kind not in "iu":
        raise ValueError(f"labels must be integers, got {flat.dtype}")
    renumbered, mapping = fastremap.renumber(flat, preserve_zero=False)
    index = renumbered.astype(np.int64) - 1
    return index, len(mapping)
