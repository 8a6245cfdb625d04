"""Options that all trainers share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

from dacapo.config import Config, not_identity, ranged
from dacapo.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from dacapo.experiments.trainers.trainer import Trainer


class LoggerName(Enum):
    """Programs that can show curves."""

    tensorboard = "tensorboard"
    mlflow = "mlflow"
    wandb = "wandb"


class Precision(Enum):
    """The precision in which the network computes; weights and optimizer stay float32."""

    fp32 = "fp32"
    bf16 = "bf16"
    fp16 = "fp16"


class OptimizerName(Enum):
    """Optimizers."""

    adamw = "adamw"
    radam = "radam"
    sgd = "sgd"


class ScheduleName(Enum):
    """Schedules of the learning rate after the warm-up."""

    cosine = "cosine"
    polynomial = "polynomial"
    plateau = "plateau"
    constant = "constant"


class Sampling(Enum):
    """What crops are equally likely to contain."""

    voxels = "voxels"
    objects = "objects"
    classes = "classes"


@dataclass(kw_only=True)
class TrainerConfig(Config, ABC):
    """How batches are made and weights are updated."""

    schedule_iterations: int | None = ranged(None, low=1)
    """Length of the learning-rate schedule; afterwards the rate is constant (default:
    num_iterations). To train a finished run further, raise num_iterations and set this to its old
    value."""
    micro_batches: int = ranged(1, low=1)
    """Parts into which a batch is split, to save memory or to share it among processes; losses and
    gradients are averaged over the parts. The number of processes does not change results."""
    gradient_clip: float | None = ranged(5.0, above=0)
    """Largest norm of the gradient; null: no clipping."""
    ema_decay: float | None = ranged(None, above=0, below=1)
    """Validate and keep an exponential moving average of the weights with this decay per step, such
    as 0.999 (default: the weights themselves)."""
    precision: Precision = Precision.fp32
    """Precision of the network. bf16 is faster on GPUs and on CPUs with AVX512-BF16 or AMX, and
    much slower on other CPUs; fp16, with loss scaling, is for GPUs without bf16."""
    channels_last: bool | None = not_identity(None)
    """Store the channels of a voxel contiguously in memory (default: on a CPU and in low precision,
    where it is faster)."""
    compile: Any = not_identity("auto")  # bool or auto: Hydra cannot merge unions
    """Whether to compile the network, which takes a minute at the start and makes steps on a GPU up
    to twice as fast; auto: on a GPU, for at least 5,000 iterations. Resuming a run never changes
    it."""
    checkpoint_interval: int = ranged(250, low=1, identity=False)
    """Iterations between checkpoints, in addition to those at each validation."""
    keep_latest: int = ranged(2, low=1, identity=False)
    """Number of latest checkpoints to keep; the best by task.criterion is kept as well."""
    keep_best: list[str] = field(default_factory=list, metadata={"identity": False})
    """Further criteria, such as voi_split, whose best checkpoint is kept."""
    keep_every: int | None = ranged(None, low=1, identity=False)
    """Also keep checkpoints whose iteration is a multiple of this (default: none)."""
    snapshot_interval: int | None = ranged(None, low=1, identity=False)
    """Iterations between snapshots of a batch with its prediction, for `python -m dacapo.view`
    (default: none)."""
    loggers: list[LoggerName] = field(default_factory=list, metadata={"identity": False})
    """Where to send curves, in addition to the csv files of the run: tensorboard, mlflow, wandb;
    each needs its package."""
    profile_steps: int = ranged(0, low=0, identity=False)
    """Number of steps, after the first ten, to record with torch's profiler, which writes
    profile.txt and profile.json to the run's folder."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.compile = {"true": True, "false": False}.get(self.compile, self.compile)
        if not isinstance(self.compile, bool) and self.compile != "auto":
            raise InputError(f"trainer.compile={self.compile} must be true, false or auto")

    @property
    def depends_on_validation(self) -> bool:
        """Whether scores influence training; then validation_interval is part of the run's
        identity."""
        return False

    def check_criteria(self, known: Sequence[str]) -> None:
        """Refuse criteria that are not scores of the task."""
        for criterion in self.keep_best:
            if criterion not in known:
                raise InputError(
                    f"trainer.keep_best={criterion}: there is no such score"
                    f"{did_you_mean(criterion, known)}\n  choose from {', '.join(known)}"
                )

    def check_classes(self, classes: Mapping[str, Sequence[int]]) -> None:
        """Refuse options that need classes if labels are objects."""

    @abstractmethod
    def build(self) -> Trainer: ...
