"""What every trainer's config has."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dacapo.config import not_identity

if TYPE_CHECKING:
    from dacapo.experiments.trainers.trainer import Trainer


@dataclass(kw_only=True)
class TrainerConfig(ABC):
    """How batches are made and weights are changed."""

    schedule_iterations: int | None = None
    """Length of the learning rate's schedule; afterwards it stays (default: num_iterations). To
    train a finished run further, raise num_iterations and give the old value here."""
    checkpoint_interval: int = not_identity(250)
    """Iterations between checkpoints, beside those at each validation."""
    profile_steps: int = not_identity(0)
    """Steps, after the first ten, that torch's profiler watches: it leaves profile.txt and
    profile.json in the run's folder."""

    @abstractmethod
    def build(self) -> Trainer: ...
