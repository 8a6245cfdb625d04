"""Detection scores, from one-to-one matches of objects and predicted segments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan
from typing import Any

import numpy as np

from dacapo.ops.overlap import Overlap

Floats = np.ndarray[Any, np.dtype[np.float64]]

AVERAGED_OVER = tuple(t / 100 for t in range(50, 100, 5))


@dataclass(frozen=True)
class Detection:
    """The overlaps of ground-truth objects with segments, as intersection over union.

    An object and a segment match if their intersection over union exceeds a threshold; from 0.5 on,
    neither can match twice. Only annotated voxels are counted. Scores that cannot be computed are
    NaN: precision without segments, recall without objects, and the others without both.

    Attributes:
        ious: intersection over union of all pairs that share a voxel, sorted.
        num_objects, num_segments: their numbers, without label 0.
    """

    ious: Floats
    num_objects: int
    num_segments: int

    @classmethod
    def of(cls, table: Overlap, ignore_smaller: int = 0) -> Detection:
        """Match by the table of all annotated voxels, in which ground truth 0 is background.

        Ground-truth objects with fewer voxels than `ignore_smaller` are left out with all their
        voxels, and so are segments of which more than half is in such objects.
        """
        kept = table.select((table.ground_truth_ids == 0) | (table.ground_truth >= ignore_smaller))
        segments = (kept.prediction_ids != 0) & (kept.prediction > 0)
        segments &= kept.prediction >= table.prediction / 2
        objects = kept.ground_truth_ids != 0
        cells = objects[kept.rows] & segments[kept.columns]
        shared = kept.counts[cells]
        union = kept.ground_truth[kept.rows[cells]] + kept.prediction[kept.columns[cells]] - shared
        return cls(np.sort(shared / union), int(objects.sum()), int(segments.sum()))

    def matches(self, threshold: float) -> int:
        """Number of matches (true positives)."""
        return int((self.ious > threshold).sum())

    def precision(self, threshold: float) -> float:
        """Fraction of segments that match an object."""
        return _ratio(self.matches(threshold), self.num_segments)

    def recall(self, threshold: float) -> float:
        """Fraction of objects that match a segment."""
        return _ratio(self.matches(threshold), self.num_objects)

    def f1(self, threshold: float) -> float:
        """Harmonic mean of precision and recall."""
        return _ratio(2 * self.matches(threshold), self.num_objects + self.num_segments)

    def panoptic_quality(self, threshold: float) -> float:
        """Sum of the matches' overlaps over the mean number of objects and segments. Kirillov et
        al. 2019."""
        matched = float(self.ious[self.ious > threshold].sum())
        return _ratio(2 * matched, self.num_objects + self.num_segments)

    def matched_share(self, threshold: float) -> float:
        """Matches over matches, missed objects and false segments. Caicedo et al. 2019."""
        matched = self.matches(threshold)
        return _ratio(matched, self.num_objects + self.num_segments - matched)

    def average_precision(self, thresholds: Sequence[float] = AVERAGED_OVER) -> float:
        """Mean of `matched_share` over the thresholds 0.50, 0.55 ... 0.95."""
        return float(np.mean([self.matched_share(t) for t in thresholds]))

    @property
    def count_error(self) -> float:
        """Absolute difference between the numbers of segments and objects."""
        return float(abs(self.num_segments - self.num_objects))


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else nan
