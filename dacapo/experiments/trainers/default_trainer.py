"""Random augmented crops, optimizers and schedules."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from dacapo.errors import InputError
from dacapo.experiments.criterion_history import CriterionHistory
from dacapo.experiments.datasplits.datasets import Dataset
from dacapo.experiments.model import Model
from dacapo.experiments.tasks.predictors import Predictor
from dacapo.experiments.trainers import schedules
from dacapo.experiments.trainers.crops import CropSampler
from dacapo.experiments.trainers.samples import BatchMaker
from dacapo.experiments.trainers.trainer import Batch, SampleShape, Trainer
from dacapo.experiments.trainers.trainer_config import OptimizerName, Sampling
from dacapo.processes.cores import num_cores
from dacapo.processes.prefetch import prefetch
from dacapo.processes.ranks import SINGLE_PROCESS, Ranks

if TYPE_CHECKING:
    from dacapo.experiments.trainers.default_trainer_config import DefaultTrainerConfig


_FIRST_WORKERS, _MAX_WORKERS = 2, 8
"""Threads that prepare batches for a GPU, at first and at most."""


class DefaultTrainer(Trainer):
    """See `DefaultTrainerConfig` for the options."""

    config: DefaultTrainerConfig

    def __init__(self, config: DefaultTrainerConfig) -> None:
        super().__init__(config)
        self.augments = sorted(config.augments.items(), key=lambda item: (item[1].stage, item[0]))
        if config.num_threads is not None:
            torch.set_num_threads(config.num_threads)
        torch.get_num_threads()  # fixes the number of the main thread before a worker sets its own

    @property
    def device(self) -> torch.device:
        name = self.config.device
        if name == "auto":
            return _gpu() if torch.cuda.is_available() else torch.device("cpu")
        try:
            device = _gpu() if name == "cuda" else torch.device(name)
            torch.empty(0, device=device)
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"trainer.device={name} is not available: {reason}") from error
        return device

    def batches(
        self,
        datasets: Sequence[Dataset],
        predictor: Predictor,
        shape: SampleShape,
        seed: int,
        begin: int,
        end: int,
        ranks: Ranks = SINGLE_PROCESS,
    ) -> Iterator[Batch]:
        maker = self.batch_maker(datasets, predictor, shape, ranks)
        every = self.config.num_batches or end
        return prefetch(
            lambda i: replace(maker.batch(seed, i % every), iteration=i),
            begin,
            end,
            *self._num_workers(ranks),
        )

    def _num_workers(self, ranks: Ranks) -> tuple[int, int]:
        """How many threads prepare batches at first and at most."""
        if isinstance(self.config.num_workers, int):
            return self.config.num_workers, self.config.num_workers
        if self.device.type != "cuda":
            return 1, 1  # the network uses all other cores
        cores = num_cores() // max(1, min(ranks.world, torch.cuda.device_count()))
        most = min(_MAX_WORKERS, cores - 1)
        return max(1, min(_FIRST_WORKERS, most)), max(1, most)

    def batch_maker(
        self,
        datasets: Sequence[Dataset],
        predictor: Predictor,
        shape: SampleShape,
        ranks: Ranks = SINGLE_PROCESS,
    ) -> BatchMaker:
        """Build what makes the batches of this process."""
        sampling = self.config.sampling
        if sampling is Sampling.classes and not predictor.classes:
            raise InputError("trainer.sampling=classes needs task.classes, which is empty")
        sampler = CropSampler(
            datasets,
            shape.output_shape * shape.output_voxel_size,
            sampling.value,
            predictor.class_masks,
            predictor.classes,
            self.config.min_annotated,
        )
        share = ranks.shard(self.config.batch_size)
        return BatchMaker(sampler, predictor, shape, self.augments, self.device, share)

    def create_optimizer(self, model: Model) -> torch.optim.Optimizer:
        config = self.config
        parameters = [p for p in model.parameters() if p.requires_grad]
        # `TrainState.step` sets the rate of each step; the optimizers only insist on a first one.
        rate, decay = config.learning_rate, config.weight_decay
        fused = self.device.type == "cuda" or None
        if config.optimizer is OptimizerName.sgd:
            return torch.optim.SGD(
                parameters, lr=rate, momentum=0.99, nesterov=True, weight_decay=decay, fused=fused
            )
        if config.optimizer is OptimizerName.radam:
            return torch.optim.RAdam(parameters, lr=rate, weight_decay=decay)
        return torch.optim.AdamW(parameters, lr=rate, weight_decay=decay, fused=fused)

    def learning_rate(
        self,
        iteration: int,
        history: CriterionHistory = CriterionHistory(),  # noqa: B008
    ) -> float:
        return schedules.learning_rate(self.config, iteration, history)

    def reason_to_stop(self, history: CriterionHistory) -> str:
        patience = self.config.stop_patience
        bad = history.num_bad_validations(self.config.min_delta)
        if patience is None or bad < patience:
            return ""
        return f"no improvement in {bad} validations (trainer.stop_patience={patience})"


def _gpu() -> torch.device:
    """This process's GPU by number, because each thread has its own current device."""
    return torch.device("cuda", torch.cuda.current_device())
