"""Learning rates, as pure functions of the iteration and of the scores so far."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from dacapo.experiments.criterion_history import CriterionHistory
from dacapo.experiments.trainers.trainer_config import ScheduleName

if TYPE_CHECKING:
    from dacapo.experiments.trainers.default_trainer_config import DefaultTrainerConfig


def learning_rate(config: DefaultTrainerConfig, iteration: int, history: CriterionHistory) -> float:
    """The learning rate of a step: a linear warm-up, then one of four schedules.

    Cosine: Loshchilov and Hutter 2017; polynomial: Chen et al. 2017.

    Args:
        iteration: index of the step.
        history: the validations of weights trained until then.
    """
    warmup, length = config.warmup_iterations, config.schedule_iterations
    if iteration < warmup:
        return config.learning_rate * (iteration + 1) / (warmup + 1)
    if config.schedule is ScheduleName.constant:
        return config.learning_rate
    if config.schedule is ScheduleName.plateau:
        decayed = config.plateau_factor ** _num_decays(config.plateau_patience, history)
        return config.learning_rate * max(config.final_rate, decayed)
    assert length is not None, "RunConfig fills it in"
    progress = min(1.0, (iteration - warmup) / max(1, length - 1 - warmup))
    if config.schedule is ScheduleName.cosine:
        share = 0.5 * (1 + math.cos(math.pi * progress))
    else:
        share = (1 - progress) ** 0.9
    return config.learning_rate * (config.final_rate + (1 - config.final_rate) * share)


def _num_decays(patience: int, history: CriterionHistory) -> int:
    """How often more than `patience` validations in a row brought no improvement."""
    decays = bad = 0
    for is_better in history.improvements():
        bad = 0 if is_better else bad + 1
        if bad > patience:
            decays, bad = decays + 1, 0
    return decays
