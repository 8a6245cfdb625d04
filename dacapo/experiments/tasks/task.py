"""A task: four parts that fit together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dacapo.experiments.tasks.evaluators.evaluator import Evaluator, check_criterion
from dacapo.experiments.tasks.losses import CombinedLoss, Loss
from dacapo.experiments.tasks.post_processors.post_processor import PostProcessor
from dacapo.experiments.tasks.predictors.combined_predictor import CombinedPredictor
from dacapo.experiments.tasks.predictors.predictor import Predictor


@dataclass(frozen=True)
class Head:
    """One head of a network: its predictor, its loss, and the weight of that loss."""

    predictor: Predictor
    loss: Loss
    weight: float = 1.0


@dataclass(frozen=True)
class Task:
    """A predictor, a loss, a post-processor and an evaluator that fit together.

    `criterion` selects the best iteration and the best parameters.
    """

    predictor: Predictor
    loss: Loss
    post_processor: PostProcessor[Any]
    evaluator: Evaluator
    criterion: str

    def __post_init__(self) -> None:
        check_criterion(self.evaluator, self.criterion)

    @classmethod
    def from_heads(
        cls,
        heads: Mapping[str, Head],
        post_processor: PostProcessor[Any],
        evaluator: Evaluator,
        criterion: str,
    ) -> Task:
        """A task with one or several heads on one network, whose channels are concatenated."""
        if len(heads) == 1:
            (head,) = heads.values()
            return cls(head.predictor, head.loss, post_processor, evaluator, criterion)
        predictor = CombinedPredictor({name: head.predictor for name, head in heads.items()})
        loss = CombinedLoss([(h.predictor.num_channels, h.weight, h.loss) for h in heads.values()])
        return cls(predictor, loss, post_processor, evaluator, criterion)
