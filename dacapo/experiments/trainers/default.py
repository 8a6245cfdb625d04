"""The trainer for most purposes."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from math import inf
from typing import TYPE_CHECKING

from dacapo.config import config, not_identity
from dacapo.errors import InputError
from dacapo.experiments.trainers.augments import AugmentConfig
from dacapo.experiments.trainers.trainer_config import TrainerConfig

if TYPE_CHECKING:
    from dacapo.experiments.trainers.default_trainer import DefaultTrainer


class OptimizerName(Enum):
    """Which optimizer."""

    adamw = "adamw"
    radam = "radam"


class Precision(Enum):
    """In which numbers the network computes; weights and optimizer stay float32."""

    fp32 = "fp32"
    bf16 = "bf16"


class Sampling(Enum):
    """What crops are equally likely to hit."""

    voxels = "voxels"
    objects = "objects"
    classes = "classes"


@config("trainer")
@dataclass(kw_only=True)
class DefaultTrainerConfig(TrainerConfig):
    """Random augmented crops, AdamW or RAdam, warm-up and cosine."""

    batch_size: int = 1
    """Crops a step."""
    sampling: Sampling = Sampling.voxels
    """What crops are equally likely to hit. voxels: all that are annotated. objects: each label id.
    classes: each of task.classes, and background."""
    min_annotated: float = 0.0
    """Share of a crop that is annotated at least."""
    learning_rate: float = 1e-3
    """At the end of the warm-up."""
    optimizer: OptimizerName = OptimizerName.adamw
    """adamw or radam."""
    weight_decay: float = 0.01
    """Decoupled from the gradient."""
    warmup_iterations: int = 50
    """The learning rate rises from 0 over these."""
    final_rate: float = 0.01
    """Share of the learning rate left at the end of the cosine and beyond."""
    gradient_clip: float | None = 5.0
    """Largest norm of the gradient; null: any."""
    precision: Precision = Precision.fp32
    """bf16 is faster on GPUs and on CPUs with AVX512-BF16 or AMX, much slower on others."""
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
        for key in ("batch_size", "learning_rate", "checkpoint_interval"):
            if not 0 < getattr(self, key) < inf:
                raise InputError(f"trainer.{key}={getattr(self, key)} must be positive")
        for key in ("num_workers", "warmup_iterations", "weight_decay", "final_rate"):
            if not 0 <= getattr(self, key) < inf:
                raise InputError(f"trainer.{key}={getattr(self, key)} must not be negative")
        if not 0 <= self.min_annotated <= 1:
            raise InputError(f"trainer.min_annotated={self.min_annotated} must lie in 0 to 1")
        if self.schedule_iterations is not None and self.schedule_iterations < 1:
            raise InputError(
                f"num_iterations or trainer.schedule_iterations={self.schedule_iterations} must be "
                f"at least 1"
            )
        for key in ("num_threads", "gradient_clip", "num_batches"):
            value = getattr(self, key)
            if value is not None and not 0 < value < inf:
                raise InputError(f"trainer.{key}={value} must be positive (or null)")

    def build(self) -> DefaultTrainer:
        from dacapo.experiments.trainers.default_trainer import DefaultTrainer

        assert self.schedule_iterations is not None, "RunConfig fills it in"
        return DefaultTrainer(
            batch_size=self.batch_size,
            sampling=self.sampling.value,
            min_annotated=self.min_annotated,
            learning_rate=self.learning_rate,
            optimizer=self.optimizer.value,
            weight_decay=self.weight_decay,
            warmup_iterations=self.warmup_iterations,
            schedule_iterations=self.schedule_iterations,
            final_rate=self.final_rate,
            gradient_clip=self.gradient_clip,
            precision=self.precision.value,
            augments={name: augment.build() for name, augment in self.augments.items()},
            device=self.device,
            num_workers=self.num_workers,
            num_batches=self.num_batches,
            num_threads=self.num_threads,
            profile_steps=self.profile_steps,
            checkpoint_interval=self.checkpoint_interval,
        )
