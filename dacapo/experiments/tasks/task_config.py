"""What the configs of tasks have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING

from dacapo.config import config
from dacapo.errors import InputError

if TYPE_CHECKING:
    from dacapo.experiments.tasks.evaluators import Evaluator
    from dacapo.experiments.tasks.label_groups import LabelGroups
    from dacapo.experiments.tasks.losses import ProbabilityLoss, RegressionLoss
    from dacapo.experiments.tasks.post_processors import MapsPostProcessorConfig
    from dacapo.experiments.tasks.task import Task


@dataclass(kw_only=True)
class TaskConfig(ABC):
    """What to predict, how to make a segmentation of it, and how to score that."""

    criterion: str
    """The score that selects the best iteration and the best parameters."""

    @abstractmethod
    def build(self) -> Task: ...


@config(None)
@dataclass(kw_only=True)
class ProbabilityLossConfig:
    """A weighted sum of terms; a weight of 0 leaves a term out."""

    cross_entropy: float = 1.0
    """Weight of the cross-entropy."""
    dice: float = 0.0
    """Weight of the soft Dice loss."""
    tversky: float = 0.0
    """Weight of the Tversky loss."""
    focal: float = 0.0
    """Weight of the focal loss."""
    tversky_alpha: float = 0.3
    """Cost of a false positive in the Tversky loss."""
    tversky_beta: float = 0.7
    """Cost of a false negative in the Tversky loss."""
    focal_gamma: float = 2.0
    """How much less the focal loss counts a voxel that is predicted well."""

    def __post_init__(self) -> None:
        _check_weights(self, ("cross_entropy", "dice", "tversky", "focal"))
        for key in ("tversky_alpha", "tversky_beta", "focal_gamma"):
            if not 0 <= getattr(self, key) < inf:
                raise InputError(f"task loss {key}={getattr(self, key)} must not be negative")
        if self.tversky_alpha + self.tversky_beta == 0:
            raise InputError(
                "task loss tversky_alpha and tversky_beta are both 0: nothing is wrong"
            )

    def build(self, exclusive: bool = False) -> ProbabilityLoss:
        """For channels that exclude each other, or for independent ones."""
        from dacapo.experiments.tasks.losses import ProbabilityLoss

        return ProbabilityLoss(exclusive, **vars(self))


@config(None)
@dataclass(kw_only=True)
class RegressionLossConfig:
    """A weighted sum of terms; a weight of 0 leaves a term out."""

    mse: float = 1.0
    """Weight of the squared error."""
    l1: float = 0.0
    """Weight of the absolute error."""

    def __post_init__(self) -> None:
        _check_weights(self, ("mse", "l1"))

    def build(self, activation: object) -> RegressionLoss:
        """For a model whose output becomes the target by this module."""
        from dacapo.experiments.tasks.losses import RegressionLoss

        return RegressionLoss(activation, self.mse, self.l1)  # type: ignore[arg-type]


@dataclass(kw_only=True)
class ObjectScoring:
    """How instance segmentations are scored."""

    prefix = "task."  # of keys in messages

    ignore_smaller: int = 0
    """Ground truth objects with fewer voxels in the scored region do not count."""
    iou_thresholds: list[float] = field(default_factory=lambda: [0.5, 0.75])
    """Objects match above this intersection over union: F1, precision, recall, panoptic quality."""

    run_length: bool = False
    """Also score how far one can follow the skeletons of a volume (datasplit...skeletons)."""

    def object_evaluator(self) -> Evaluator:
        """Of segments that are ids of objects."""
        from dacapo.experiments.tasks.evaluators import InstanceEvaluator

        if self.ignore_smaller < 0:
            raise InputError(
                f"{self.prefix}ignore_smaller={self.ignore_smaller} must not be negative"
            )
        for threshold in self.iou_thresholds:
            if not 0.5 <= threshold < 1:
                raise InputError(
                    f"{self.prefix}iou_thresholds={self.iou_thresholds}: {threshold} must lie "
                    f"between 0.5 (below it, matches are not one to one) and 1"
                )
        if not self.iou_thresholds:
            raise InputError(f"{self.prefix}iou_thresholds is empty: give at least one, like 0.5")
        return InstanceEvaluator(self.ignore_smaller, self.iou_thresholds, self.run_length)


@dataclass(kw_only=True)
class ClassScoring:
    """How semantic segmentations are scored."""

    prefix = "task."  # of keys in messages

    tolerance: float | None = None
    """Distance in nm (in pixels where there is no physical size) within which a voxel is not false
    in tolerant scores (default: the longest edge of a voxel)."""
    clip_distance: float | None = None
    """Larger distances count as this one in clipped scores (default: ten such edges)."""

    def class_evaluator(self, groups: LabelGroups) -> Evaluator:
        """Of segments that are classes."""
        from dacapo.experiments.tasks.evaluators import SemanticEvaluator

        for key in ("tolerance", "clip_distance"):
            value = getattr(self, key)
            if value is not None and not 0 <= value < inf:
                raise InputError(f"{self.prefix}{key}={value} must be 0 or more")
        return SemanticEvaluator(groups, self.tolerance, self.clip_distance)


@dataclass(kw_only=True)
class ClassesOrObjects(TaskConfig, ObjectScoring, ClassScoring):
    """A task whose labels are classes where they are named, and objects otherwise."""

    classes: dict[str, list[int]] = field(default_factory=dict)
    """Class -> label ids, like {mito: [3, 4, 5], er: [7]}; other ids are background. Empty: labels
    are ids of objects."""

    def label_groups(self) -> LabelGroups:
        """The classes, checked."""
        from dacapo.experiments.tasks.label_groups import LabelGroups

        check_classes(self.classes)
        return LabelGroups(self.classes)

    def evaluator(self, groups: LabelGroups) -> Evaluator:
        """Of objects or of classes."""
        return self.object_evaluator() if groups.are_objects else self.class_evaluator(groups)


def check_classes(classes: dict[str, list[int]], key: str = "task.classes") -> None:
    """Refuse classes without ids, and names that a criterion could not carry."""
    for name, ids in classes.items():
        if not ids or 0 in ids:
            raise InputError(
                f"{key}.{name}={ids}: give the label ids of the class; 0 is background"
            )
        if not name.isidentifier() or "__" in name or name.strip("_") != name:
            raise InputError(
                f"{key}: {name!r} becomes part of the names of scores, so give letters, digits and "
                f"single _ between them"
            )


def check_makes(
    config: MapsPostProcessorConfig, groups: LabelGroups, for_objects: str, for_classes: str
) -> None:
    """Refuse a post-processor that makes objects of classes or classes of objects."""
    if config.makes_objects == groups.are_objects:
        return
    if groups.are_objects:
        raise InputError(
            f"{type(config).__name__} makes classes, but task.classes is empty, so labels are "
            f"objects: name the classes, or choose task/post_processor={for_objects}"
        )
    raise InputError(
        f"{type(config).__name__} makes objects, but task.classes names classes: choose "
        f"task/post_processor={for_classes}"
    )


def check_positive(config: object, *keys: str) -> None:
    """Refuse values that are not above 0."""
    for key in keys:
        if not 0 < getattr(config, key) < inf:
            raise InputError(f"task.{key}={getattr(config, key)} must be positive")
    most = getattr(config, "max_class_weight", 1)
    if not most >= 1:
        raise InputError(f"task.max_class_weight={most} must be at least 1, which balances nothing")


def _check_weights(config: object, keys: tuple[str, ...]) -> None:
    values = {key: getattr(config, key) for key in keys}
    for key, value in values.items():
        if not 0 <= value < inf:
            raise InputError(f"task loss {key}={value} must not be negative")
    if not any(values.values()):
        raise InputError(f"task loss: all of {', '.join(keys)} are 0, so nothing would be trained")
