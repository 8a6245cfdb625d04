"""The task of predicting foreground and boundary."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dacapo.config import config, ranged, scores_only
from dacapo.experiments.tasks.losses import MaskLoss
from dacapo.experiments.tasks.post_processors import (
    MapsPostProcessor,
    PredictionReader,
    Watershed,
)
from dacapo.experiments.tasks.task_config import ObjectTaskConfig, check_makes

if TYPE_CHECKING:
    from dacapo.experiments.tasks.task import Task


@config("task")
@dataclass(kw_only=True)
class BoundaryTaskConfig(ObjectTaskConfig):
    """Predict foreground and object boundaries; objects grow from inside the boundaries."""

    criterion: str = scores_only("average_precision")
    """The score that selects the best iteration and the best parameters."""
    post_processor: MapsPostProcessor | None = scores_only(None)
    """How objects are made: task/post_processor=watershed (default) or components."""
    width: float = ranged(1.5, above=0)
    """Width of the boundary inside an object, in voxels of the finest axis."""
    loss: MaskLoss = field(default_factory=MaskLoss)
    """The loss of foreground and boundary."""
    boundary_weight: float = ranged(1.0, above=0)
    """Weight of the boundary in the loss."""
    max_class_weight: float = ranged(10.0, low=1)
    """Largest factor by which the rarer of inside and outside is weighted up (1: no balancing)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.post_processor = self.post_processor or Watershed()

    def build(self) -> Task:
        import numpy as np

        from dacapo.experiments.tasks.label_groups import LabelGroups
        from dacapo.experiments.tasks.predictors import BoundaryPredictor, ClassPredictor
        from dacapo.experiments.tasks.task import Head, Task

        groups = LabelGroups()
        assert self.post_processor is not None
        check_makes(self.post_processor, groups, "watershed", "threshold")
        reader = PredictionReader(
            groups.names,
            classes=lambda p: p[:1],
            interior=lambda p: np.minimum(p[0], 1 - p[1]),
            thresholds=(0.4, 0.5, 0.6),
        )
        foreground = ClassPredictor(groups, self.max_class_weight)
        boundary = BoundaryPredictor(self.width, self.max_class_weight)
        return Task.from_heads(
            {
                "foreground": Head(foreground, self.loss),
                "boundary": Head(boundary, self.loss, self.boundary_weight),
            },
            self.post_processor.build(reader),
            self.evaluator(),
            self.criterion,
        )
