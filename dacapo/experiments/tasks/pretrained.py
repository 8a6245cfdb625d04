"""A task whose initial weights come from a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dacapo.config import config, scores_only
from dacapo.errors import InputError
from dacapo.experiments.tasks.task_config import TaskConfig

if TYPE_CHECKING:
    from dacapo.experiments.tasks.evaluators import Evaluator
    from dacapo.experiments.tasks.task import Task


@config("task")
@dataclass(kw_only=True)
class PretrainedTaskConfig(TaskConfig):
    """Another task whose model, head included, starts with the weights of a file."""

    criterion: str = scores_only("")
    """The score that selects the best iteration and the best parameters (default: that of the
    sub-task)."""
    sub_task: TaskConfig
    """The other task: task@task.sub_task=affinities."""
    weights: str
    """A checkpoint of a run, any .safetensors file, or a state dict saved by torch.save."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.criterion = self.criterion or self.sub_task.criterion

    @property
    def num_axes(self) -> int | None:
        return self.sub_task.num_axes

    @property
    def label_classes(self) -> dict[str, list[int]]:
        return self.sub_task.label_classes

    def scoring(self) -> dict[str, Any]:
        return {**self.sub_task.scoring(), "criterion": self.criterion}

    def scored_by(self, scoring: Mapping[str, Any]) -> PretrainedTaskConfig:
        criterion = scoring.get("criterion", self.criterion)
        return replace(self, criterion=criterion, sub_task=self.sub_task.scored_by(scoring))

    def evaluator(self) -> Evaluator:
        return self.sub_task.evaluator()

    def build(self) -> Task:
        if not Path(self.weights).is_file():
            raise InputError(f"task.weights={self.weights}: file not found")
        task = self.sub_task.build()
        task.predictor.initial_weights = Path(self.weights)
        return replace(task, criterion=self.criterion)
