"""Random augmented crops; warm-up and cosine."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch

from dacapo.errors import InputError
from dacapo.experiments.datasplits.datasets import Dataset
from dacapo.experiments.model import Model
from dacapo.experiments.tasks.predictors import Predictor
from dacapo.experiments.trainers.augments.augment import Augment
from dacapo.experiments.trainers.crops import CropSampler
from dacapo.experiments.trainers.samples import BatchMaker
from dacapo.experiments.trainers.trainer import Batch, SampleShape, Trainer
from dacapo.prefetch import prefetch

_OPTIMIZERS = {"adamw": torch.optim.AdamW, "radam": torch.optim.RAdam}
_PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}


class DefaultTrainer(Trainer):
    """See `DefaultTrainerConfig` for the arguments."""

    def __init__(
        self,
        *,
        batch_size: int,
        sampling: str,
        min_annotated: float,
        learning_rate: float,
        optimizer: str,
        weight_decay: float,
        warmup_iterations: int,
        schedule_iterations: int,
        final_rate: float,
        gradient_clip: float | None,
        precision: str,
        augments: dict[str, Augment],
        device: str,
        num_workers: int,
        num_batches: int | None,
        num_threads: int | None,
        checkpoint_interval: int,
        profile_steps: int,
    ) -> None:
        self.batch_size = batch_size
        self._sampling, self._min_annotated = sampling, min_annotated
        self.checkpoint_interval = checkpoint_interval
        self.profile_steps = profile_steps
        self._num_batches = num_batches
        self.gradient_clip = gradient_clip
        self.precision = _PRECISIONS[precision]
        self.augments = sorted(augments.items(), key=lambda item: (item[1].stage, item[0]))
        self._rate = learning_rate, final_rate
        self._warmup, self._schedule = warmup_iterations, schedule_iterations
        self._optimizer, self._weight_decay = _OPTIMIZERS[optimizer], weight_decay
        self._device = device
        self._num_workers = num_workers
        if num_threads is not None:
            torch.set_num_threads(num_threads)
        torch.get_num_threads()  # settles the main thread's number before a worker sets its own

    @property
    def device(self) -> torch.device:
        if self._device == "auto":
            return torch.device("cuda" if torch.cuda.is_available() else "cpu")
        try:
            device = torch.device(self._device)
            torch.empty(0, device=device)
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"trainer.device={self._device} is not available: {reason}") from error
        return device

    def batches(
        self,
        datasets: Sequence[Dataset],
        predictor: Predictor,
        shape: SampleShape,
        seed: int,
        begin: int,
        end: int,
    ) -> Iterator[Batch]:
        if self._sampling == "classes" and not predictor.classes:
            raise InputError("trainer.sampling=classes: the task has no task.classes")
        sampler = CropSampler(
            datasets,
            shape.output_shape * shape.output_voxel_size,
            self._sampling,
            predictor.class_masks,
            predictor.classes,
            self._min_annotated,
        )
        maker = BatchMaker(sampler, predictor, shape, self.augments, self.device, self.batch_size)
        every = self._num_batches or end
        return prefetch(
            lambda i: replace(maker.batch(seed, i % every), iteration=i),
            begin,
            end,
            self._num_workers,
        )

    def create_optimizer(self, model: Model) -> torch.optim.Optimizer:
        parameters = [p for p in model.parameters() if p.requires_grad]
        rate, _ = self._rate
        optimizer: torch.optim.Optimizer = self._optimizer(
            parameters, lr=rate, weight_decay=self._weight_decay
        )
        return optimizer

    def learning_rate(self, iteration: int) -> float:
        highest, final = self._rate
        if iteration < self._warmup:
            return highest * (iteration + 1) / (self._warmup + 1)
        through = (iteration - self._warmup) / max(1, self._schedule - 1 - self._warmup)
        share = 0.5 * (1 + math.cos(math.pi * min(1.0, through)))
        return highest * (final + (1 - final) * share)
