"""Trainers: their configs, and what they build, which is imported on demand."""

from typing import TYPE_CHECKING

from dacapo.experiments.lazy import lazy_exports
from dacapo.experiments.trainers.augments import Augment
from dacapo.experiments.trainers.default_trainer_config import DefaultTrainerConfig
from dacapo.experiments.trainers.trainer_config import (
    LoggerName,
    OptimizerName,
    Precision,
    Sampling,
    ScheduleName,
    TrainerConfig,
)

if TYPE_CHECKING:
    from dacapo.experiments.trainers.trainer import Trainer

__all__ = [
    "Augment",
    "DefaultTrainerConfig",
    "LoggerName",
    "OptimizerName",
    "Precision",
    "Sampling",
    "ScheduleName",
    "Trainer",
    "TrainerConfig",
]

__getattr__ = lazy_exports(__name__, {"Trainer": "trainer"})
