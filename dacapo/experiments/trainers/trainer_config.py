"""The options that every trainer has."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from dacapo.config import Config, not_identity, ranged

if TYPE_CHECKING:
    from dacapo.experiments.trainers.trainer import Trainer


class LoggerName(Enum):
    """Programs that show curves."""

    tensorboard = "tensorboard"
    mlflow = "mlflow"
    wandb = "wandb"


class Precision(Enum):
    """In which numbers the network computes; weights and optimizer stay float32."""

    fp32 = "fp32"
    bf16 = "bf16"
    fp16 = "fp16"


class OptimizerName(Enum):
    """Which optimizer."""

    adamw = "adamw"
    radam = "radam"
    sgd = "sgd"


class ScheduleName(Enum):
    """How the learning rate falls after the warm-up."""

    cosine = "cosine"
    polynomial = "polynomial"
    plateau = "plateau"
    constant = "constant"


class Sampling(Enum):
    """What crops are equally likely to hit."""

    voxels = "voxels"
    objects = "objects"
    classes = "classes"


@dataclass(kw_only=True)
class TrainerConfig(Config, ABC):
    """How batches are made and weights are changed."""

    schedule_iterations: int | None = ranged(None, low=1)
    """Length of the learning rate's schedule; afterwards it stays (default: num_iterations). To
    train a finished run further, raise num_iterations and give the old value here."""
    micro_batches: int = ranged(1, low=1)
    """Parts of a batch that go through the network one after the other, for less memory, or side by
    side in several processes; their losses and gradients are averaged. The same number gives the
    same result with any number of processes."""
    gradient_clip: float | None = ranged(5.0, above=0)
    """Largest norm of the gradient; null: no limit."""
    ema_decay: float | None = ranged(None, above=0, below=1)
    """Validate and keep an exponential moving average of the weights with this decay per step,
    such as 0.999 (default: the weights themselves)."""
    precision: Precision = Precision.fp32
    """bf16 is faster on GPUs and on CPUs with AVX512-BF16 or AMX, much slower on others; fp16, with
    a scaled loss, is for GPUs without bf16."""
    channels_last: bool | None = not_identity(None)
    """Order of values in memory (default: channels last where precision is low, which makes it
    fast)."""
    compile: bool = not_identity(False)
    """Compile the network for speed: minutes at the start, worth it for long runs on a GPU."""
    checkpoint_interval: int = ranged(250, low=1, identity=False)
    """Iterations between checkpoints, beside those at each validation."""
    keep_latest: int = ranged(2, low=1, identity=False)
    """Checkpoints that are kept, the newest first; the best by task.criterion stays too."""
    keep_best: list[str] = field(default_factory=list, metadata={"identity": False})
    """Further criteria whose best checkpoint is kept, such as voi_split."""
    keep_every: int | None = ranged(None, low=1, identity=False)
    """Also keep each checkpoint whose iteration is a multiple of this (default: none)."""
    snapshot_interval: int | None = ranged(None, low=1, identity=False)
    """Iterations between snapshots of a batch with its prediction, for `python -m dacapo.view`
    (default: none)."""
    loggers: list[LoggerName] = field(default_factory=list, metadata={"identity": False})
    """Where curves are sent beside the run's csv files: tensorboard, mlflow, wandb; each needs
    its package."""
    profile_steps: int = ranged(0, low=0, identity=False)
    """Steps, after the first ten, that torch's profiler records: it leaves profile.txt and
    profile.json in the run's folder."""

    @property
    def depends_on_validation(self) -> bool:
        """Whether scores decide how training continues: then their interval is part of the run."""
        return False

    @abstractmethod
    def build(self) -> Trainer: ...
