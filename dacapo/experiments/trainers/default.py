"""The trainer for most purposes."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import Enum
from math import inf
from typing import TYPE_CHECKING

from dacapo.config import config, not_identity
from dacapo.errors import InputError
from dacapo.experiments.trainers.augments import AugmentConfig
from dacapo.experiments.trainers.trainer_config import TrainerConfig

if TYPE_CHECKING:
    from dacapo.experiments.trainers.default_trainer import DefaultTrainer

_POSITIVE = ("batch_size", "micro_batches", "learning_rate", "checkpoint_interval", "keep_latest")
_NOT_NEGATIVE = (
    "num_workers", "warmup_iterations", "weight_decay", "final_rate", "plateau_patience",
    "min_delta",
)  # fmt: skip
_POSITIVE_OR_NULL = (
    "num_threads", "gradient_clip", "num_batches", "stop_patience", "keep_every",
    "snapshot_interval",
)  # fmt: skip


class OptimizerName(Enum):
    """Which optimizer."""

    adamw = "adamw"
    radam = "radam"
    sgd = "sgd"


class Precision(Enum):
    """In which numbers the network computes; weights and optimizer stay float32."""

    fp32 = "fp32"
    bf16 = "bf16"
    fp16 = "fp16"


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


@config("trainer")
@dataclass(kw_only=True)
class DefaultTrainerConfig(TrainerConfig):
    """Random augmented crops, and all that decides how weights change."""

    batch_size: int = 1
    """Crops a step, over all micro-batches and processes."""
    micro_batches: int = 1
    """Parts of a batch that go through the network one after the other, for less memory, or side by
    side in several processes; their losses and gradients are averaged. The same number gives the
    same result with any number of processes."""
    sampling: Sampling = Sampling.voxels
    """What crops are equally likely to hit. voxels: all that are annotated. objects: each label id.
    classes: each of task.classes, and background."""
    min_annotated: float = 0.0
    """Share of a crop that is annotated at least."""
    learning_rate: float = 1e-3
    """At the end of the warm-up."""
    optimizer: OptimizerName = OptimizerName.adamw
    """adamw, radam, or sgd with Nesterov momentum of 0.99."""
    weight_decay: float = 0.01
    """Decoupled from the gradient."""
    warmup_iterations: int = 50
    """The learning rate rises from 0 over these."""
    schedule: ScheduleName = ScheduleName.cosine
    """How the learning rate falls afterwards. cosine: half a wave; polynomial: (1 - t) ** 0.9;
    plateau: times plateau_factor whenever task.criterion has not improved for more than
    plateau_patience validations; constant: not at all."""
    final_rate: float = 0.01
    """Share of the learning rate left at the end of the schedule and beyond; plateau goes no
    lower."""
    plateau_factor: float = 0.3
    """Of schedule=plateau."""
    plateau_patience: int = 3
    """Of schedule=plateau, in validations."""
    stop_patience: int | None = None
    """End the run once task.criterion has not improved for this many validations (default: train
    until num_iterations)."""
    min_delta: float = 0.0
    """What counts as an improvement there, in units of the criterion: anything above this."""
    ema_decay: float | None = None
    """Validate and keep an exponential moving average of the weights, which forgets with this
    factor a step, 0.999 say (default: the weights themselves)."""
    gradient_clip: float | None = 5.0
    """Largest norm of the gradient; null: any."""
    precision: Precision = Precision.fp32
    """bf16 is faster on GPUs and on CPUs with AVX512-BF16 or AMX, much slower on others; fp16, with
    a scaled loss, is for GPUs without bf16."""
    channels_last: bool | None = not_identity(None)
    """Order of values in memory (default: channels last where precision is low, which makes it
    fast)."""
    compile: bool = not_identity(False)
    """Compile the network for speed: minutes at the start, worth it for long runs on a GPU."""
    augments: dict[str, AugmentConfig] = field(default_factory=dict)
    """Chosen by trainer/augments=[mirror,noise]; applied geometric first, then intensities."""
    num_batches: int | None = None
    """Draw only so many batches and repeat them, to see whether the network can learn them at all
    (default: every batch is another)."""
    device: str = not_identity("auto")
    """cpu, cuda, cuda:1...; auto: a GPU if there is one."""
    num_workers: int = not_identity(1)
    """Threads that prepare batches ahead; 0: none. They change no result."""
    num_threads: int | None = not_identity(None)
    """CPU threads of the network (default: torch's)."""

    def __post_init__(self) -> None:
        self._check_numbers()
        if self.batch_size % self.micro_batches:
            raise InputError(
                f"trainer.batch_size={self.batch_size} must be a multiple of "
                f"trainer.micro_batches={self.micro_batches}"
            )
        if not 0 <= self.min_annotated <= 1:
            raise InputError(f"trainer.min_annotated={self.min_annotated} must lie in 0 to 1")
        if self.schedule_iterations is not None and self.schedule_iterations < 1:
            raise InputError(
                f"num_iterations or trainer.schedule_iterations={self.schedule_iterations} must be "
                f"at least 1"
            )
        if not 0 < self.plateau_factor < 1:
            raise InputError(f"trainer.plateau_factor={self.plateau_factor} must lie in 0 to 1")
        if self.ema_decay is not None and not 0 < self.ema_decay < 1:
            raise InputError(f"trainer.ema_decay={self.ema_decay} must lie in 0 to 1 (or be null)")

    def _check_numbers(self) -> None:
        for key in _POSITIVE:
            if not 0 < getattr(self, key) < inf:
                raise InputError(f"trainer.{key}={getattr(self, key)} must be positive")
        for key in _NOT_NEGATIVE:
            if not 0 <= getattr(self, key) < inf:
                raise InputError(f"trainer.{key}={getattr(self, key)} must not be negative")
        for key in _POSITIVE_OR_NULL:
            value = getattr(self, key)
            if value is not None and not 0 < value < inf:
                raise InputError(f"trainer.{key}={value} must be positive (or null)")

    @property
    def depends_on_validation(self) -> bool:
        return self.schedule is ScheduleName.plateau or self.stop_patience is not None

    def build(self) -> DefaultTrainer:
        from dacapo.experiments.trainers.default_trainer import DefaultTrainer

        assert self.schedule_iterations is not None, "RunConfig fills it in"
        values = {f.name: getattr(self, f.name) for f in fields(DefaultTrainerConfig)}
        plain = {k: v.value if isinstance(v, Enum) else v for k, v in values.items()}
        augments = {name: augment.build() for name, augment in self.augments.items()}
        loggers = [program.value for program in self.loggers]
        return DefaultTrainer(**{**plain, "augments": augments, "loggers": loggers})
