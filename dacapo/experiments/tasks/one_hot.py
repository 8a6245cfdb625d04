"""The task of mutually exclusive classes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dacapo.config import config, ranged, scores_only
from dacapo.errors import InputError
from dacapo.experiments.tasks.losses import ClassLoss
from dacapo.experiments.tasks.post_processors import (
    Argmax,
    MapsPostProcessor,
    PredictionReader,
)
from dacapo.experiments.tasks.task_config import (
    ClassScoring,
    TaskConfig,
    check_classes,
    check_makes,
)

if TYPE_CHECKING:
    from dacapo.experiments.tasks.evaluators import Evaluator
    from dacapo.experiments.tasks.task import Task


@config("task")
@dataclass(kw_only=True)
class OneHotTaskConfig(TaskConfig, ClassScoring):
    """Predict which of several classes, or background, a voxel belongs to."""

    criterion: str = scores_only("dice")
    """The score that selects the best iteration and the best parameters."""
    classes: dict[str, list[int]] = field(default_factory=dict)
    """Class -> label ids, like {mito: [3, 4, 5], er: [7]}; other ids are background."""
    post_processor: MapsPostProcessor | None = scores_only(None)
    """How classes are chosen: task/post_processor=argmax (default) or threshold."""
    loss: ClassLoss = field(default_factory=ClassLoss)
    """The loss."""
    max_class_weight: float = ranged(10.0, low=1)
    """Largest factor by which voxels of a rare class are weighted up (1: no balancing)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.classes:
            raise InputError("task.classes is empty: give at least one class, like {mito: [1]}")
        check_classes(self.classes)
        ids = [i for group in self.classes.values() for i in set(group)]
        twice = sorted({i for i in ids if ids.count(i) > 1})
        if twice:
            raise InputError(
                f"task.classes: label {twice[0]} is in more than one class; classes that exclude "
                f"each other cannot share a label"
            )
        self.post_processor = self.post_processor or Argmax()

    @property
    def label_classes(self) -> dict[str, list[int]]:
        return self.classes

    def evaluator(self) -> Evaluator:
        return self.class_evaluator(self.classes)

    def build(self) -> Task:
        from dacapo.experiments.tasks.label_groups import LabelGroups
        from dacapo.experiments.tasks.predictors import OneHotPredictor
        from dacapo.experiments.tasks.task import Head, Task

        groups = LabelGroups(self.classes)
        assert self.post_processor is not None
        check_makes(self.post_processor, groups, "watershed", "argmax")
        reader = PredictionReader(
            groups.names, classes=lambda p: p[1:], interior=lambda p: p[1], exclusive=True
        )
        return Task.from_heads(
            {"classes": Head(OneHotPredictor(groups, self.max_class_weight), self.loss)},
            self.post_processor.build(reader),
            self.evaluator(),
            self.criterion,
        )
