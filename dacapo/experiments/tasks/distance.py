"""Tasks that predict distances to a border."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dacapo.config import config
from dacapo.experiments.tasks.post_processors import (
    MapsPostProcessorConfig,
    ThresholdConfig,
    WatershedConfig,
)
from dacapo.experiments.tasks.task_config import (
    ClassesOrObjects,
    ProbabilityLossConfig,
    RegressionLossConfig,
    check_makes,
    check_positive,
)

if TYPE_CHECKING:
    from dacapo.experiments.tasks.task import Task


@dataclass(kw_only=True)
class _Distances(ClassesOrObjects):
    """What the distance tasks have in common."""

    criterion: str = ""
    """The score that selects the best iteration and the best parameters (default:
    average_precision of objects, dice of classes)."""
    post_processor: MapsPostProcessorConfig | None = None
    """How segments are made: task/post_processor=watershed (default) or components for objects,
    threshold for classes."""
    scale: float = 10.0
    """In voxels of the finest axis: a distance d becomes tanh(d / scale), up to two scales."""
    per_section: bool = False
    """Measure within each section alone: for few sections, or thick ones."""
    loss: RegressionLossConfig = field(default_factory=RegressionLossConfig)
    """What the distances minimise."""
    max_class_weight: float = 10.0
    """Inside or outside, the rarer of the two, is weighed up at most this many times."""

    def __post_init__(self) -> None:
        check_positive(self, "scale")
        self.criterion = self.criterion or ("dice" if self.classes else "average_precision")
        if self.post_processor is None:
            self.post_processor = ThresholdConfig() if self.classes else WatershedConfig()


@config("task")
@dataclass(kw_only=True)
class DistanceTaskConfig(_Distances):
    """Predict the signed distance to the border of objects, or of each class."""

    inner = False

    def build(self) -> Task:
        from dacapo.experiments.tasks.post_processors import PredictionReader
        from dacapo.experiments.tasks.predictors import DistancePredictor
        from dacapo.experiments.tasks.task import Head, Task

        groups = self.label_groups()
        assert self.post_processor is not None
        check_makes(self.post_processor, groups, "watershed", "threshold")
        predictor = DistancePredictor(
            groups, self.scale, self.max_class_weight, self.inner, self.per_section
        )
        maps = PredictionReader(
            groups.names,
            classes=lambda p: p,
            interior=lambda p: p[0],
            thresholds=(0.05, 0.1, 0.2) if self.inner else (-0.1, 0.0, 0.1),
            seed_thresholds=(0.2, 0.35, 0.5),
            low=0 if self.inner else -1,
        )
        return Task.from_heads(
            {"distance": Head(predictor, self.loss.build(predictor.activation))},
            self.post_processor.build(maps),
            self.evaluator(groups),
            self.criterion,
        )


@config("task")
@dataclass(kw_only=True)
class InnerDistanceTaskConfig(DistanceTaskConfig):
    """Predict the distance to the border inside of objects or classes, and 0 outside."""

    inner = True


@config("task")
@dataclass(kw_only=True)
class HotDistanceTaskConfig(_Distances):
    """Predict the probability of each class and the distance to its border, and use both."""

    class_loss: ProbabilityLossConfig = field(default_factory=ProbabilityLossConfig)
    """What the probabilities minimise."""
    distance_weight: float = 1.0
    """Weight of the distances in the loss."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(self, "distance_weight")

    def build(self) -> Task:
        from dacapo.experiments.tasks.post_processors import PredictionReader
        from dacapo.experiments.tasks.predictors import ClassPredictor, DistancePredictor
        from dacapo.experiments.tasks.task import Head, Task

        groups = self.label_groups()
        assert self.post_processor is not None
        check_makes(self.post_processor, groups, "watershed", "threshold")
        hot = ClassPredictor(groups, self.max_class_weight)
        distance = DistancePredictor(
            groups, self.scale, self.max_class_weight, per_section=self.per_section
        )
        num = len(groups.names)
        maps = PredictionReader(
            groups.names,
            classes=lambda p: (p[:num] + (p[num:] + 1) / 2) / 2,  # both are 0.5 at a border
            interior=lambda p: (p[num] + 1) / 2,
            thresholds=(0.4, 0.5, 0.6),
        )
        return Task.from_heads(
            {
                "hot": Head(hot, self.class_loss.build()),
                "distance": Head(
                    distance, self.loss.build(distance.activation), self.distance_weight
                ),
            },
            self.post_processor.build(maps),
            self.evaluator(groups),
            self.criterion,
        )
