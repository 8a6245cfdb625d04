"""The task of foreground and boundary."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dacapo.config import config
from dacapo.experiments.tasks.post_processors import MapsPostProcessorConfig, WatershedConfig
from dacapo.experiments.tasks.task_config import (
    ObjectScoring,
    ProbabilityLossConfig,
    TaskConfig,
    check_makes,
    check_positive,
)

if TYPE_CHECKING:
    from dacapo.experiments.tasks.task import Task


@config("task")
@dataclass(kw_only=True)
class BoundaryTaskConfig(TaskConfig, ObjectScoring):
    """Predict where objects are and where their rim is; objects grow from inside the rims."""

    criterion: str = "average_precision"
    """The score that selects the best iteration and the best parameters."""
    post_processor: MapsPostProcessorConfig | None = None
    """How objects are made: task/post_processor=watershed (default) or components."""
    width: float = 1.5
    """Of the rim inside of an object, in voxels of the finest axis."""
    loss: ProbabilityLossConfig = field(default_factory=ProbabilityLossConfig)
    """What foreground and boundary minimise."""
    boundary_weight: float = 1.0
    """Weight of the boundary in the loss."""
    max_class_weight: float = 10.0
    """Inside or outside, the rarer of the two, is weighed up at most this many times."""

    def __post_init__(self) -> None:
        self.post_processor = self.post_processor or WatershedConfig()
        check_positive(self, "width", "boundary_weight")

    def build(self) -> Task:
        import numpy as np

        from dacapo.experiments.tasks.label_groups import LabelGroups
        from dacapo.experiments.tasks.post_processors import PredictionReader
        from dacapo.experiments.tasks.predictors import BoundaryPredictor, ClassPredictor
        from dacapo.experiments.tasks.task import Head, Task

        groups = LabelGroups()
        assert self.post_processor is not None
        check_makes(self.post_processor, groups, "watershed", "threshold")
        maps = PredictionReader(
            groups.names,
            classes=lambda p: p[:1],
            interior=lambda p: np.minimum(p[0], 1 - p[1]),
            thresholds=(0.4, 0.5, 0.6),
        )
        boundary = BoundaryPredictor(self.width, self.max_class_weight)
        return Task.from_heads(
            {
                "foreground": Head(
                    ClassPredictor(groups, self.max_class_weight), self.loss.build()
                ),
                "boundary": Head(boundary, self.loss.build(), self.boundary_weight),
            },
            self.post_processor.build(maps),
            self.object_evaluator(),
            self.criterion,
        )
