"""Scores of instance segmentations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, nan

from dacapo.experiments.tasks.evaluators.evaluator import (
    Criterion,
    EvaluationScores,
    Evaluator,
    Volume,
)
from dacapo.ops.overlap import adapted_rand, counted, overlap, variation_of_information

_CRITERIA = {
    c.name: c
    for c in [
        Criterion("voi_split", False, 0, inf, "bit", "conditional entropy of segments in truth"),
        Criterion("voi_merge", False, 0, inf, "bit", "conditional entropy of truth in segments"),
        Criterion("voi", False, 0, inf, "bit", "variation of information"),
        Criterion("adapted_rand_error", False, 0, 1, "1", "adapted Rand error"),
        Criterion("adapted_rand_precision", True, 0, 1, "1", "adapted Rand precision"),
        Criterion("adapted_rand_recall", True, 0, 1, "1", "adapted Rand recall"),
    ]
}


@dataclass(frozen=True)
class InstanceEvaluationScores(EvaluationScores):
    """See `dacapo.ops.overlap` for the definitions; NaN where no voxel counts."""

    voi_split: float = nan
    voi_merge: float = nan
    adapted_rand_error: float = nan
    adapted_rand_precision: float = nan
    adapted_rand_recall: float = nan

    @property
    def voi(self) -> float:
        return self.voi_split + self.voi_merge

    @property
    def criteria(self) -> Sequence[str]:
        return list(_CRITERIA)

    def higher_is_better(self, criterion: str) -> bool:
        return _CRITERIA[criterion].higher_is_better

    def bounds(self, criterion: str) -> tuple[float, float]:
        return _CRITERIA[criterion].lower, _CRITERIA[criterion].upper

    def store_best(self, criterion: str) -> bool:
        return criterion in ("voi", "adapted_rand_error")

    def describe(self, criterion: str) -> tuple[str, str]:
        return _CRITERIA[criterion].units, _CRITERIA[criterion].long_name


class InstanceEvaluator(Evaluator):
    """Variation of information and adapted Rand error.

    Truth 0 and mask 0 do not count; predicted 0 on a counted voxel is one segment.

    Args:
        ignore_smaller: truth objects with fewer counted voxels do not count.
    """

    def __init__(self, ignore_smaller: int = 0) -> None:
        self.ignore_smaller = ignore_smaller

    @property
    def evaluation_scores(self) -> InstanceEvaluationScores:
        return InstanceEvaluationScores()

    def evaluate(
        self, output: Volume, gt: Volume, mask: Volume | None = None
    ) -> InstanceEvaluationScores:
        keep = counted(gt, mask, self.ignore_smaller)
        table = overlap(gt[keep], output[keep])
        split, merge = variation_of_information(table)
        return InstanceEvaluationScores(split, merge, *adapted_rand(table))
