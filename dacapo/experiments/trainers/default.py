"""The trainer for most purposes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dacapo.config import config, not_identity, ranged
from dacapo.errors import InputError
from dacapo.experiments.trainers.augments import Augment
from dacapo.experiments.trainers.trainer_config import (
    OptimizerName,
    Sampling,
    ScheduleName,
    TrainerConfig,
)

if TYPE_CHECKING:
    from dacapo.experiments.trainers.default_trainer import DefaultTrainer


@config("trainer")
@dataclass(kw_only=True)
class DefaultTrainerConfig(TrainerConfig):
    """Random augmented crops, and all that decides how weights change."""

    batch_size: int = ranged(1, low=1)
    """Crops per step, over all micro-batches and processes."""
    sampling: Sampling = Sampling.voxels
    """What crops are equally likely to hit. voxels: all that are annotated. objects: each label id.
    classes: each of task.classes, and background."""
    min_annotated: float = ranged(0.0, low=0, high=1)
    """Smallest share of a crop that is annotated."""
    learning_rate: float = ranged(1e-3, above=0)
    """At the end of the warm-up."""
    optimizer: OptimizerName = OptimizerName.adamw
    """adamw, radam, or sgd with Nesterov momentum of 0.99."""
    weight_decay: float = ranged(0.01, low=0)
    """Decoupled from the gradient."""
    warmup_iterations: int = ranged(50, low=0)
    """The learning rate rises from 0 over these."""
    schedule: ScheduleName = ScheduleName.cosine
    """How the learning rate falls afterwards. cosine: half a wave; polynomial: (1 - t) ** 0.9;
    plateau: times plateau_factor whenever task.criterion has not improved for more than
    plateau_patience validations; constant: not at all."""
    final_rate: float = ranged(0.01, low=0)
    """Share of the learning rate left at the end of the schedule and beyond; plateau goes no
    lower."""
    plateau_factor: float = ranged(0.3, above=0, below=1)
    """Of schedule=plateau."""
    plateau_patience: int = ranged(3, low=0)
    """Of schedule=plateau, in validations."""
    stop_patience: int | None = ranged(None, low=1)
    """End the run once task.criterion has not improved for this many validations (default: train
    until num_iterations)."""
    min_delta: float = ranged(0.0, low=0)
    """What counts as an improvement there, in units of the criterion: anything above this."""
    augments: dict[str, Augment] = field(default_factory=dict)
    """Chosen by trainer/augments=[mirror,noise]; applied geometric first, then intensities."""
    num_batches: int | None = ranged(None, low=1)
    """Draw only this many batches and repeat them, to see whether the network can learn them at all
    (default: every batch is a new one)."""
    device: str = not_identity("auto")
    """cpu, cuda, cuda:1...; auto: a GPU if there is one."""
    num_workers: int = ranged(1, low=0, identity=False)
    """Threads that prepare batches ahead; 0: none. They change no result."""
    num_threads: int | None = ranged(None, low=1, identity=False)
    """CPU threads of the network (default: torch's)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.batch_size % self.micro_batches:
            raise InputError(
                f"trainer.batch_size={self.batch_size} must be a multiple of "
                f"trainer.micro_batches={self.micro_batches}"
            )

    @property
    def depends_on_validation(self) -> bool:
        return self.schedule is ScheduleName.plateau or self.stop_patience is not None

    def build(self) -> DefaultTrainer:
        from dacapo.experiments.trainers.default_trainer import DefaultTrainer

        return DefaultTrainer(self)
