"""Options of the default trainer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

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
    """Train on random augmented crops."""

    batch_size: int = ranged(1, low=1)
    """Crops per step, in all micro-batches and processes together."""
    sampling: Sampling = Sampling.voxels
    """What crops are equally likely to contain. voxels: each annotated voxel. objects: each label
    id. classes: each of task.classes, and background."""
    min_annotated: float = ranged(0.0, low=0, high=1)
    """Smallest annotated fraction of a crop."""
    learning_rate: float = ranged(1e-3, above=0)
    """Learning rate at the end of the warm-up."""
    optimizer: OptimizerName = OptimizerName.adamw
    """Optimizer: adamw, radam, or sgd with Nesterov momentum of 0.99."""
    weight_decay: float = ranged(0.01, low=0)
    """Weight decay, decoupled from the gradient."""
    warmup_iterations: int = ranged(50, low=0)
    """Iterations over which the learning rate rises from 0."""
    schedule: ScheduleName = ScheduleName.cosine
    """How the learning rate falls after the warm-up. cosine: half a wave; polynomial: (1 - t) **
    0.9; plateau: multiplied by plateau_factor whenever task.criterion has not improved for more
    than plateau_patience validations; constant: not at all."""
    final_rate: float = ranged(0.01, low=0)
    """Fraction of the learning rate at the end of the schedule and afterwards; the lower limit of
    plateau."""
    plateau_factor: float = ranged(0.3, above=0, below=1)
    """For schedule=plateau: the factor of each reduction."""
    plateau_patience: int = ranged(3, low=0)
    """For schedule=plateau: validations without improvement before a reduction."""
    stop_patience: int | None = ranged(None, low=1)
    """Stop early once task.criterion has not improved for this many validations (default: train
    until num_iterations)."""
    min_delta: float = ranged(0.0, low=0)
    """Smallest change of task.criterion that counts as an improvement, for early stopping."""
    augments: dict[str, Augment] = field(default_factory=dict)
    """Augmentations, chosen by trainer/augments=[mirror,noise]; geometric ones are applied
    first."""
    num_batches: int | None = ranged(None, low=1)
    """Draw only this many batches and repeat them, to check whether the network can overfit them
    (default: every batch is new)."""
    device: str = not_identity("auto")
    """Device: cpu, cuda, cuda:1...; auto uses a GPU if there is one."""
    num_workers: Any = not_identity("auto")  # int or auto: Hydra cannot merge unions
    """Threads that prepare batches ahead of time; auto: one, and on a GPU as many as make training
    faster. The number does not change results."""
    num_threads: int | None = ranged(None, low=1, identity=False)
    """CPU threads for the network (default: torch's)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        num = self.num_workers
        if isinstance(num, str) and num.isdigit():  # as from the environment
            self.num_workers = num = int(num)
        is_number = isinstance(num, int) and not isinstance(num, bool) and num >= 0
        if num != "auto" and not is_number:
            raise InputError(f"trainer.num_workers={self.num_workers} must be at least 0, or auto")
        if self.batch_size % self.micro_batches:
            raise InputError(
                f"trainer.batch_size={self.batch_size} must be a multiple of "
                f"trainer.micro_batches={self.micro_batches}"
            )

    @property
    def depends_on_validation(self) -> bool:
        return self.schedule is ScheduleName.plateau or self.stop_patience is not None

    def check_classes(self, classes: Mapping[str, Sequence[int]]) -> None:
        if self.sampling is Sampling.classes and not classes:
            raise InputError("trainer.sampling=classes needs task.classes; the task has objects")

    def build(self) -> DefaultTrainer:
        from dacapo.experiments.trainers.default_trainer import DefaultTrainer

        return DefaultTrainer(self)
