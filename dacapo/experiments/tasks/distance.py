"""Tasks that predict distances to a border."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from dacapo.config import config, ranged, scores_only
from dacapo.experiments.tasks.losses import ActivatedLoss, MaskLoss, RegressionLoss
from dacapo.experiments.tasks.post_processors import (
    MapsPostProcessor,
    PredictionReader,
    Threshold,
    Watershed,
)
from dacapo.experiments.tasks.task_config import ClassesOrObjects, check_makes

if TYPE_CHECKING:
    from dacapo.experiments.tasks.label_groups import LabelGroups
    from dacapo.experiments.tasks.task import Head, Task


@dataclass(kw_only=True)
class _Distances(ClassesOrObjects):
    """Options that all distance tasks share."""

    inner: ClassVar[bool] = False
    """Whether only distances inside are predicted, and 0 outside."""

    criterion: str = scores_only("")
    """The score that selects the best iteration and the best parameters (default: average_precision
    of objects, dice of classes)."""
    post_processor: MapsPostProcessor | None = scores_only(None)
    """How segments are made: task/post_processor=watershed (default) or components for objects,
    threshold for classes."""
    scale: float = ranged(10.0, above=0)
    """Scale of distances, in voxels of the finest axis: a distance d becomes tanh(d / scale), up to
    two scales."""
    per_section: bool = False
    """Measure distances within each section only: for few sections, or thick ones."""
    loss: RegressionLoss = field(default_factory=RegressionLoss)
    """The loss of the distances."""
    max_class_weight: float = ranged(10.0, low=1)
    """Largest factor by which the rarer of inside and outside is weighted up (1: no balancing)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.criterion = self.criterion or ("dice" if self.classes else "average_precision")
        if self.post_processor is None:
            self.post_processor = Threshold() if self.classes else Watershed()

    def distance_head(self, groups: LabelGroups, weight: float = 1.0) -> Head:
        """The head that predicts distances, with its loss."""
        from dacapo.experiments.tasks.predictors import DistancePredictor
        from dacapo.experiments.tasks.task import Head

        predictor = DistancePredictor(
            groups, self.scale, self.max_class_weight, self.inner, self.per_section
        )
        return Head(predictor, ActivatedLoss(self.loss, predictor.activation), weight)

    def task(self, groups: LabelGroups, heads: dict[str, Head], reader: PredictionReader) -> Task:
        """Combine heads with the post-processor and evaluator for objects or classes."""
        from dacapo.experiments.tasks.task import Task

        assert self.post_processor is not None
        check_makes(self.post_processor, groups, "watershed", "threshold")
        post_processor = self.post_processor.build(reader)
        return Task.from_heads(heads, post_processor, self.evaluator(), self.criterion)


@config("task")
@dataclass(kw_only=True)
class DistanceTaskConfig(_Distances):
    """Predict the signed distance to the border of objects, or of each class."""

    def build(self) -> Task:
        groups = self.label_groups()
        reader = PredictionReader(
            groups.names,
            classes=lambda p: p,
            interior=lambda p: p[0],
            thresholds=(0.05, 0.1, 0.2) if self.inner else (-0.1, 0.0, 0.1),
            seed_thresholds=(0.2, 0.35, 0.5),
            low=0 if self.inner else -1,
        )
        return self.task(groups, {"distance": self.distance_head(groups)}, reader)


@config("task")
@dataclass(kw_only=True)
class InnerDistanceTaskConfig(DistanceTaskConfig):
    """Predict the distance to the border inside objects or classes, and 0 outside."""

    inner = True


@config("task")
@dataclass(kw_only=True)
class HotDistanceTaskConfig(_Distances):
    """Predict the probability of each class and the distance to its border; segment from both."""

    class_loss: MaskLoss = field(default_factory=MaskLoss)
    """The loss of the probabilities."""
    distance_weight: float = ranged(1.0, above=0)
    """Weight of the distances in the loss."""

    def build(self) -> Task:
        from dacapo.experiments.tasks.predictors import ClassPredictor
        from dacapo.experiments.tasks.task import Head

        groups = self.label_groups()
        num = len(groups.names)
        reader = PredictionReader(
            groups.names,
            classes=lambda p: (p[:num] + (p[num:] + 1) / 2) / 2,  # both are 0.5 at a border
            interior=lambda p: (p[num] + 1) / 2,
            thresholds=(0.4, 0.5, 0.6),
        )
        heads = {
            "hot": Head(ClassPredictor(groups, self.max_class_weight), self.class_loss),
            "distance": self.distance_head(groups, self.distance_weight),
        }
        return self.task(groups, heads, reader)
