"""Random augmented crops, optimizers and schedules."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch

from dacapo.errors import InputError
from dacapo.experiments.criterion_history import CriterionHistory
from dacapo.experiments.datasplits.datasets import Dataset
from dacapo.experiments.model import Model
from dacapo.experiments.tasks.predictors import Predictor
from dacapo.experiments.trainers.augments.augment import Augment
from dacapo.experiments.trainers.crops import CropSampler
from dacapo.experiments.trainers.samples import BatchMaker
from dacapo.experiments.trainers.schedules import Schedule
from dacapo.experiments.trainers.trainer import Batch, SampleShape, Trainer
from dacapo.processes.prefetch import prefetch
from dacapo.processes.ranks import SINGLE_PROCESS, Ranks

_PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class DefaultTrainer(Trainer):
    """See `DefaultTrainerConfig` for the arguments."""

    def __init__(
        self,
        *,
        batch_size: int,
        micro_batches: int,
        sampling: str,
        min_annotated: float,
        learning_rate: float,
        optimizer: str,
        weight_decay: float,
        warmup_iterations: int,
        schedule: str,
        schedule_iterations: int,
        final_rate: float,
        plateau_factor: float,
        plateau_patience: int,
        stop_patience: int | None,
        min_delta: float,
        ema_decay: float | None,
        gradient_clip: float | None,
        precision: str,
        channels_last: bool | None,
        compile: bool,
        augments: dict[str, Augment],
        device: str,
        num_workers: int,
        num_batches: int | None,
        num_threads: int | None,
        checkpoint_interval: int,
        keep_latest: int,
        keep_best: Sequence[str],
        keep_every: int | None,
        snapshot_interval: int | None,
        loggers: Sequence[str],
        profile_steps: int,
    ) -> None:
        self.batch_size, self.micro_batches = batch_size, micro_batches
        self._sampling, self._min_annotated = sampling, min_annotated
        self.checkpoint_interval = checkpoint_interval
        self.keep_latest, self.keep_best, self.keep_every = keep_latest, keep_best, keep_every
        self.snapshot_interval, self.loggers = snapshot_interval, loggers
        self.profile_steps = profile_steps
        self._num_batches = num_batches
        self.gradient_clip, self.ema_decay = gradient_clip, ema_decay
        self.precision, self.compile = _PRECISIONS[precision], compile
        low = self.precision != torch.float32
        self.channels_last = low if channels_last is None else channels_last
        self.augments = sorted(augments.items(), key=lambda item: (item[1].stage, item[0]))
        self._schedule = Schedule(
            name=schedule,
            rate=learning_rate,
            final=final_rate,
            warmup=warmup_iterations,
            length=schedule_iterations,
            factor=plateau_factor,
            patience=plateau_patience,
        )
        self._stop = stop_patience, min_delta
        self._optimizer, self._weight_decay = optimizer, weight_decay
        self._device = device
        self._num_workers = num_workers
        if num_threads is not None:
            torch.set_num_threads(num_threads)
        torch.get_num_threads()  # settles the main thread's number before a worker sets its own

    @property
    def device(self) -> torch.device:
        if self._device == "auto":
            return _gpu() if torch.cuda.is_available() else torch.device("cpu")
        try:
            device = _gpu() if self._device == "cuda" else torch.device(self._device)
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
        ranks: Ranks = SINGLE_PROCESS,
    ) -> Iterator[Batch]:
        maker = self.maker(datasets, predictor, shape, ranks)
        every = self._num_batches or end
        return prefetch(
            lambda i: replace(maker.batch(seed, i % every), iteration=i),
            begin,
            end,
            self._num_workers,
        )

    def maker(
        self,
        datasets: Sequence[Dataset],
        predictor: Predictor,
        shape: SampleShape,
        ranks: Ranks = SINGLE_PROCESS,
    ) -> BatchMaker:
        """What makes the batches."""
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
        share = ranks.shard(self.batch_size)
        return BatchMaker(sampler, predictor, shape, self.augments, self.device, share)

    def create_optimizer(self, model: Model) -> torch.optim.Optimizer:
        parameters = [p for p in model.parameters() if p.requires_grad]
        rate = self._schedule.rate
        if self._optimizer == "sgd":
            return torch.optim.SGD(
                parameters,
                lr=rate,
                momentum=0.99,
                nesterov=True,
                weight_decay=self._weight_decay,
            )
        kind = torch.optim.AdamW if self._optimizer == "adamw" else torch.optim.RAdam
        return kind(parameters, lr=rate, weight_decay=self._weight_decay)

    def learning_rate(
        self, iteration: int, history: CriterionHistory = CriterionHistory()
    ) -> float:
        return self._schedule.learning_rate(iteration, history)

    def reason_to_stop(self, history: CriterionHistory) -> str:
        patience, least = self._stop
        waits = history.num_bad_validations(least)
        if patience is None or waits < patience:
            return ""
        return f"no improvement in {waits} validations (trainer.stop_patience={patience})"


def _gpu() -> torch.device:
    """This process' GPU, by its number: threads have a current one of their own."""
    return torch.device("cuda", torch.cuda.current_device())
