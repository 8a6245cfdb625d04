"""Trainers: configs at once, what they build on demand."""

from typing import TYPE_CHECKING

from dacapo.experiments.lazy import lazy_exports
from dacapo.experiments.trainers.augments import AugmentConfig
from dacapo.experiments.trainers.default import (
    DefaultTrainerConfig,
    OptimizerName,
    Precision,
    Sampling,
)
from dacapo.experiments.trainers.trainer_config import TrainerConfig

if TYPE_CHECKING:
    from dacapo.experiments.trainers.trainer import Trainer

__all__ = [
    "AugmentConfig",
    "DefaultTrainerConfig",
    "OptimizerName",
    "Precision",
    "Sampling",
    "Trainer",
    "TrainerConfig",
]

__getattr__ = lazy_exports(__name__, {"Trainer": "trainer"})
