"""What every trainer's config has."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from dacapo.config import not_identity

if TYPE_CHECKING:
    from dacapo.experiments.trainers.trainer import Trainer


class LoggerName(Enum):
    """Programs that show curves."""

    tensorboard = "tensorboard"
    mlflow = "mlflow"
    wandb = "wandb"


@dataclass(kw_only=True)
class TrainerConfig(ABC):
    """How batches are made and weights are changed."""

    schedule_iterations: int | None = None
    """Length of the learning rate's schedule; afterwards it stays (default: num_iterations). To
    train a finished run further, raise num_iterations and give the old value here."""
    checkpoint_interval: int = not_identity(250)
    """Iterations between checkpoints, beside those at each validation."""
    keep_latest: int = not_identity(2)
    """Checkpoints that are kept, the newest first; the best by task.criterion stays too."""
    keep_best: list[str] = field(default_factory=list, metadata={"identity": False})
    """Further criteria whose best checkpoint is kept, such as voi_split."""
    keep_every: int | None = not_identity(None)
    """Keep each checkpoint whose iteration is a multiple of this (default: none for its number)."""
    snapshot_interval: int | None = not_identity(None)
    """Iterations between snapshots of a batch with its prediction, for `python -m dacapo.view`
    (default: none)."""
    loggers: list[LoggerName] = field(default_factory=list, metadata={"identity": False})
    """Where curves are sent beside the run's csv files: tensorboard, mlflow, wandb; each needs
    its package."""
    profile_steps: int = not_identity(0)
    """Steps, after the first ten, that torch's profiler watches: it leaves profile.txt and
    profile.json in the run's folder."""

    @property
    def depends_on_validation(self) -> bool:
        """Whether scores decide how training goes on: then their interval is part of the run."""
        return False

    @abstractmethod
    def build(self) -> Trainer: ...
