"""Scores of classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import inf, isnan, nan
from typing import Any

import numpy as np

from dacapo.experiments.tasks.evaluators.evaluator import (
    Criterion,
    Evaluator,
    GroundTruth,
    Scores,
    Volume,
)
from dacapo.experiments.tasks.label_groups import LabelGroups
from dacapo.ops.confusion import Confusion, harmonic_mean, ratio
from dacapo.ops.surfaces import Shape, SurfaceDistances, beyond, mean_distance

Mask = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True)
class _Comparison:
    """One class of a segmentation and its ground truth; quantities are computed on demand."""

    ground_truth: Shape
    prediction: Shape
    tolerance: float
    clip: float

    @cached_property
    def voxels(self) -> Confusion:
        return Confusion.of(
            self.ground_truth.inside, self.prediction.inside, self.ground_truth.counted
        )

    @cached_property
    def surfaces(self) -> SurfaceDistances:
        return SurfaceDistances(self.ground_truth, self.prediction)

    @cached_property
    def tolerant(self) -> Confusion:
        """Confusion in which a voxel within the tolerance of the other segmentation counts as true.

        The numbers of true positives of the two segmentations may differ; their mean is used.
        """
        fp = beyond(self.prediction, self.ground_truth, self.tolerance)
        fn = beyond(self.ground_truth, self.prediction, self.tolerance)
        return Confusion((self._predicted - fp + self._true - fn) / 2, fp, fn, self.voxels.tn)

    @property
    def tolerant_precision(self) -> float:
        return ratio(self._predicted - self.tolerant.fp, self._predicted)

    @property
    def tolerant_recall(self) -> float:
        return ratio(self._true - self.tolerant.fn, self._true)

    @property
    def _predicted(self) -> float:
        return self.voxels.tp + self.voxels.fp

    @property
    def _true(self) -> float:
        return self.voxels.tp + self.voxels.fn

    def false_positive_distance(self, clip: float | None = None) -> float:
        return mean_distance(self.prediction, self.ground_truth, clip)

    def false_negative_distance(self, clip: float | None = None) -> float:
        return mean_distance(self.ground_truth, self.prediction, clip)

    def false_distance(self, clip: float | None = None) -> float:
        return (self.false_positive_distance(clip) + self.false_negative_distance(clip)) / 2


Measure = Callable[[_Comparison], float]


def _share(name: str, text: str, higher: bool, measure: Measure, headline: bool = False) -> Any:
    return Criterion(name, higher, 0, 1, "1", text, headline), measure


def _length(name: str, text: str, measure: Measure, headline: bool = False) -> Any:
    return Criterion(name, False, 0, inf, "nm or pixel", text, headline), measure


_ROWS: list[tuple[Criterion, Measure]] = [
    _share("dice", "Dice coefficient (F1 score of voxels)", True,
           lambda c: c.voxels.dice, headline=True),
    _share("jaccard", "Jaccard index", True, lambda c: c.voxels.jaccard, headline=True),
    _share("precision", "precision", True, lambda c: c.voxels.precision),
    _share("recall", "recall", True, lambda c: c.voxels.recall),
    _share("dice_tolerant", "Dice within {tolerance}", True, lambda c: c.tolerant.dice),
    _share("jaccard_tolerant", "Jaccard within {tolerance}", True, lambda c: c.tolerant.jaccard),
    _share("precision_tolerant", "precision within {tolerance}", True,
           lambda c: c.tolerant_precision),
    _share("recall_tolerant", "recall within {tolerance}", True, lambda c: c.tolerant_recall),
    _share(
        "f1_tolerant", "F1 score within {tolerance}", True,
        lambda c: harmonic_mean(c.tolerant_precision, c.tolerant_recall),
    ),
    _share("surface_dice", "normalised surface Dice within {tolerance}", True,
           lambda c: c.surfaces.dice(c.tolerance), headline=True),
    _length("hausdorff", "Hausdorff distance", lambda c: c.surfaces.hausdorff),
    _length("hausdorff_95", "95th percentile of surface distances",
            lambda c: c.surfaces.hausdorff_percentile(95), headline=True),
    _length("mean_surface_distance", "mean surface distance", lambda c: c.surfaces.mean),
    _share("false_positive_rate", "false positive rate", False,
           lambda c: c.voxels.false_positive_rate),
    _share("false_negative_rate", "false negative rate", False,
           lambda c: c.voxels.false_negative_rate),
    _share("false_discovery_rate", "false discovery rate", False,
           lambda c: c.voxels.false_discovery_rate),
    _length("mean_false_distance", "mean false distance", lambda c: c.false_distance()),
    _length("mean_false_positive_distance", "mean distance of the prediction to ground truth",
            lambda c: c.false_positive_distance()),
    _length("mean_false_negative_distance", "mean distance of ground truth to the prediction",
            lambda c: c.false_negative_distance()),
    _length("mean_false_distance_clipped", "mean false distance, at most {clip}",
            lambda c: c.false_distance(c.clip)),
    _length("mean_false_positive_distance_clipped", "mean distance to ground truth, at most {clip}",
            lambda c: c.false_positive_distance(c.clip)),
    _length("mean_false_negative_distance_clipped", "mean distance to prediction, at most {clip}",
            lambda c: c.false_negative_distance(c.clip)),
    (Criterion("voi_binary", False, 0, 2, "bit", "variation of information of inside and outside"),
     lambda c: c.voxels.voi),
]  # fmt: skip


class SemanticEvaluator(Evaluator):
    """Scores of voxels, surfaces and distances per class, `class__criterion`, and their mean.

    All annotated voxels count, including background. Distances are between centres of voxels, of
    surfaces in the sense of `dacapo.ops.surfaces`. A score is NaN where its class is not annotated,
    where a denominator is 0 (precision and false distances of an empty prediction, recall of an
    empty ground truth, Dice of both), and for surface distances where one of the two surfaces is
    missing. The mean has the plain name of the criterion. It leaves out a class without a score
    that is absent from ground truth, and is NaN if any other class is NaN. So a prediction gains
    nothing by leaving out a class, or by inventing one.

    Args:
        groups: the classes.
        tolerance: of the tolerant scores and of the surface Dice, in nm (pixels where there is no
            physical size); None: the longest edge of a voxel.
        clip_distance: upper bound of distances in clipped scores; None: ten such edges.
    """

    def __init__(
        self,
        groups: LabelGroups,
        tolerance: float | None = None,
        clip_distance: float | None = None,
    ) -> None:
        self.groups = groups
        self._tolerance = tolerance
        self._clip = clip_distance
        within = "one voxel" if tolerance is None else f"{tolerance:g}"
        beyond_ = "ten voxels" if clip_distance is None else f"{clip_distance:g}"
        criteria = [
            replace(c, long_name=c.long_name.format(tolerance=within, clip=beyond_))
            for c, _ in _ROWS
        ]
        self._table = criteria + [
            Criterion(
                f"{name}__{c.name}", c.higher_is_better, c.lower, c.upper, c.units,
                f"{c.long_name} of {name}",
            )
            for name in groups.names
            for c in criteria
        ]  # fmt: skip

    @property
    def evaluation_scores(self) -> Scores:
        return Scores(self._table)

    def evaluate(self, output: Volume, gt: Volume, mask: Volume | None = None) -> Scores:
        return self.against(GroundTruth(gt, mask))(output)

    def against(self, ground_truth: GroundTruth) -> Callable[[Volume], Scores]:
        voxel_size = ground_truth.voxel_size or [1.0] * ground_truth.gt.ndim
        tolerance = max(voxel_size) if self._tolerance is None else self._tolerance
        clip = 10 * max(voxel_size) if self._clip is None else self._clip
        shapes = [
            Shape(inside, counted, voxel_size)
            for inside, counted in zip(
                self.groups.split(ground_truth.gt), self._counted(ground_truth), strict=True
            )
        ]

        def score(output: Volume) -> Scores:
            parts = self._split(output, ground_truth.gt.shape)
            return self._score(
                [
                    _Comparison(shape, Shape(part, shape.counted, voxel_size), tolerance, clip)
                    for shape, part in zip(shapes, parts, strict=True)
                ]
            )

        return score

    def perfect(self, gt: Volume) -> Volume:
        return self.groups.split(gt)

    def trivial(self, gt: Volume) -> Sequence[Volume]:
        """Background everywhere."""
        return [np.zeros_like(self.groups.split(gt))]

    def shown(self, gt: Volume, output: Volume) -> tuple[Volume, Volume]:
        return _numbered(self.groups.split(gt)), _numbered(self._split(output, gt.shape))

    def _score(self, comparisons: Sequence[_Comparison]) -> Scores:
        values: dict[str, float] = {}
        reasons: dict[str, str] = {}
        for name, comparison in zip(self.groups.names, comparisons, strict=True):
            reason = _reason(comparison)
            for criterion, measure in _ROWS:
                values[f"{name}__{criterion.name}"] = measure(comparison)
                reasons[f"{name}__{criterion.name}"] = reason
        for criterion, _ in _ROWS:
            own = {name: values[f"{name}__{criterion.name}"] for name in self.groups.names}
            absent = {
                name
                for name, comparison in zip(self.groups.names, comparisons, strict=True)
                if comparison.ground_truth.is_empty and isnan(own[name])
            }
            judged = [value for name, value in own.items() if name not in absent]
            values[criterion.name] = sum(judged) / len(judged) if judged else nan
            without = [name for name, value in own.items() if isnan(value) and name not in absent]
            reasons[criterion.name] = (
                f"nan for {', '.join(without)}" if judged else "no class is annotated and present"
            )
        return Scores(self._table, values, reasons)

    def _counted(self, ground_truth: GroundTruth) -> Sequence[Mask]:
        """A mask per class of where it is annotated."""
        num = len(self.groups.names)
        if ground_truth.mask is None:
            return [np.ones(ground_truth.gt.shape, bool)] * num
        known: Mask = ground_truth.mask != 0
        return [known] * num if known.ndim == ground_truth.gt.ndim else list(known)

    def _split(self, output: Volume, shape: tuple[int, ...]) -> Mask:
        """(K, *spatial) from an output of that shape, or from one that numbers classes from 1."""
        num = len(self.groups.names)
        if output.shape == (num, *shape):
            return np.asarray(output != 0)
        if output.shape != shape:
            raise ValueError(
                f"an output of {num} classes for ground truth {shape} is {shape} or "
                f"{(num, *shape)}, not {output.shape}"
            )
        return np.stack([output == number for number in range(1, num + 1)])


def _numbered(classes: Volume) -> Volume:
    """Classes (K, *spatial) as labels (*spatial); of overlapping classes the first is visible."""
    out = np.zeros(classes.shape[1:], np.uint16)
    for number, inside in reversed(list(enumerate(classes, start=1))):
        out[inside != 0] = number
    return out


def _reason(comparison: _Comparison) -> str:
    """The reason why scores of a class are NaN."""
    if not comparison.ground_truth.counted.any():
        return "no voxel is annotated for this class"
    empty = [
        text
        for text, shape in (
            ("ground truth", comparison.ground_truth),
            ("the prediction", comparison.prediction),
        )
        if shape.is_empty
    ]
    if empty:
        return f"{' and '.join(empty)} is empty" if len(empty) == 1 else "both are empty"
    return "the class fills all that is annotated: it has no surface"
