"""A task: four parts that fit together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dacapo.errors import InputError
from dacapo.experiments.tasks.evaluators.evaluator import Evaluator
from dacapo.experiments.tasks.losses.loss import Loss
from dacapo.experiments.tasks.post_processors.post_processor import PostProcessor
from dacapo.experiments.tasks.predictors.predictor import Predictor


@dataclass(frozen=True)
class Task:
    """What is predicted, how that is trained, how it becomes a segmentation, how that is scored.

    `criterion` selects the best iteration and the best parameters.
    """

    predictor: Predictor
    loss: Loss
    post_processor: PostProcessor[Any]
    evaluator: Evaluator
    criterion: str

    def __post_init__(self) -> None:
        known = list(self.evaluator.evaluation_scores.criteria)
        if self.criterion not in known:
            raise InputError(f"task.criterion={self.criterion}: choose one of {', '.join(known)}")
