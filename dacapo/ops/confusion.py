"""Confusion of a binary segmentation and the rates that follow from it."""

from __future__ import annotations

from dataclasses import dataclass
from math import nan
from typing import Any

import numpy as np

from dacapo.ops.overlap import entropy

Mask = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True)
class Confusion:
    """Numbers of voxels: true and false positives and negatives.

    A rate whose denominator is 0 is NaN: a precision where nothing is predicted, a recall where
    ground truth is empty, a Dice coefficient where both are.
    """

    tp: float
    fp: float
    fn: float
    tn: float

    @classmethod
    def of(cls, ground_truth: Mask, prediction: Mask, counted: Mask) -> Confusion:
        """Count over the annotated voxels."""
        code = 2 * ground_truth[counted] + prediction[counted].astype(np.uint8)
        tn, fp, fn, tp = (float(n) for n in np.bincount(code, minlength=4))
        return cls(tp, fp, fn, tn)

    @property
    def dice(self) -> float:
        """2 |A and B| / (|A| + |B|). Dice 1945; the F1 score of the voxels is the same number."""
        return ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    @property
    def jaccard(self) -> float:
        """|A and B| / |A or B|, intersection over union. Jaccard 1912."""
        return ratio(self.tp, self.tp + self.fp + self.fn)

    @property
    def precision(self) -> float:
        """Fraction of predicted voxels that are true."""
        return ratio(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> float:
        """Fraction of ground truth that is predicted."""
        return ratio(self.tp, self.tp + self.fn)

    @property
    def false_positive_rate(self) -> float:
        """Fraction of background that is predicted."""
        return ratio(self.fp, self.fp + self.tn)

    @property
    def false_negative_rate(self) -> float:
        """Fraction of ground truth that is not predicted."""
        return ratio(self.fn, self.fn + self.tp)

    @property
    def false_discovery_rate(self) -> float:
        """Fraction of predicted voxels that are false."""
        return ratio(self.fp, self.fp + self.tp)

    @property
    def voi(self) -> float:
        """Variation of information of the partitions into inside and outside."""
        cells = np.array([[self.tn, self.fp], [self.fn, self.tp]])
        if cells.sum() == 0:
            return nan
        joint, ground_truth, prediction = (
            entropy(part) for part in (cells.reshape(-1), cells.sum(1), cells.sum(0))
        )
        return max(0.0, 2 * joint - ground_truth - prediction)


def ratio(part: float, whole: float) -> float:
    """The quotient; NaN if the denominator is 0."""
    return part / whole if whole else nan


def harmonic_mean(one: float, other: float) -> float:
    """Harmonic mean, which of precision and recall is the F1 score; 0 if both are 0.

    >>> harmonic_mean(0.5, 1.0)
    0.6666666666666666
    """
    if one == 0 and other == 0:
        return 0.0
    return 2 * one * other / (one + other)
