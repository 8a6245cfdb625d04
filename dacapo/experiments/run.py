"""A run: everything that a `RunConfig` builds, and the training step."""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from dacapo.arrays.units import from_world
from dacapo.errors import InputError
from dacapo.experiments.criterion_history import CriterionHistory
from dacapo.experiments.fit import check_data
from dacapo.experiments.model import Model
from dacapo.experiments.preflight import preflight
from dacapo.experiments.run_config import RunConfig
from dacapo.experiments.score_table import ScoreHeader
from dacapo.experiments.train_state import StartedStep, Step, TrainState
from dacapo.experiments.trainers.trainer import Batch
from dacapo.experiments.training_iteration_stats import TrainingIterationStats
from dacapo.experiments.training_stats import TrainingStats
from dacapo.experiments.validation_scores import ValidationScores
from dacapo.nn.probe import output_shape
from dacapo.ops.draws import seed
from dacapo.processes.ranks import SINGLE_PROCESS, Ranks

if TYPE_CHECKING:
    from dacapo.experiments.datasplits.datasplit import DataSplit
    from dacapo.experiments.starts.start import ReadRun
    from dacapo.experiments.tasks import TaskConfig


class NonFiniteError(InputError):
    """A loss or a gradient that is NaN or infinite.

    Attributes:
        tensors: raw, target, weight and prediction of the micro-batch where it happened.
    """

    def __init__(self, message: str, tensors: Mapping[str, Tensor]) -> None:
        super().__init__(message)
        self.tensors = tensors


def score_header(
    scores: ValidationScores, task_config: TaskConfig, digests: Mapping[str, str]
) -> ScoreHeader:
    """What scores mean.

    Args:
        digests: dataset -> what identifies its voxels.
    """
    settings = {"task": task_config.scoring(), "volumes": dict(digests)}
    return replace(scores.header(task_config.criterion), settings=settings)


class Run:
    """Builds the parts, checks that they fit, and trains step by step.

    A run does not know where it is saved. Everything random in it is a pure function of the
    repetition and the iteration.

    Args:
        datasplit: the data, if `preflight` has opened them already.

    Attributes:
        name, repetition, num_iterations, validation_interval: as configured.
        task, architecture, trainer, datasplit, start: as built from the configs.
        ranks: the processes that train it.
        train_state: the model, its optimizer and everything else that a checkpoint holds.
        training_stats, validation_scores: the history so far.
    """

    def __init__(
        self,
        run_config: RunConfig,
        ranks: Ranks = SINGLE_PROCESS,
        datasplit: DataSplit | None = None,
    ) -> None:
        self.config, self.ranks = run_config, ranks
        self.name = run_config.name
        self.repetition = run_config.repetition
        self.num_iterations = run_config.num_iterations
        self.validation_interval = run_config.validation_interval

        self.datasplit = preflight(run_config) if datasplit is None else datasplit
        self.task = run_config.task_config.build()
        self.trainer = run_config.trainer_config.build()
        self._check_micro_batches()
        start = run_config.start_config
        self.start = None if start is None else start.build()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed(self.repetition, "weights"))
            self.architecture = run_config.architecture_config.build()
            model = self.task.predictor.create_model(self.architecture)
        if self.start is not None:
            self.start.freeze_weights(model)
        self.train_state = TrainState(model, self.task.loss, self.trainer, self.repetition, ranks)
        self._check_normalization()
        self.sample_shape = check_data(self.datasplit, self.model, self.task.predictor)

        self._history = CriterionHistory()
        self.training_stats = TrainingStats()
        self.validation_scores = ValidationScores(
            self.task.post_processor.enumerate_parameters(),
            self.datasplit.validate,
            self.task.evaluator.evaluation_scores,
        )

    @property
    def model(self) -> Model:
        model: Model = self.train_state.model
        return model

    def describe_data(self) -> dict[str, Any]:
        """What the model needs to know of its data to predict other volumes, as plain data.

        `intensity_range` holds the raw values that are mapped to 0 and 1; None if it differs
        between the training volumes. `digests` identify the voxels of each volume.
        """
        shape, unit = self.sample_shape, self.datasplit.train[0].raw.unit
        ranges = [dataset.intensity_range for dataset in self.datasplit.train]
        same = all(found == ranges[0] for found in ranges)
        return {
            "unit": unit,
            "input_voxel_size": from_world(shape.input_voxel_size, unit),
            "output_voxel_size": from_world(shape.output_voxel_size, unit),
            "intensity_range": [np.asarray(v).tolist() for v in ranges[0]] if same else None,
            "dtype": str(np.result_type(*(dataset.raw.dtype for dataset in self.datasplit.train))),
            "digests": self.digests,
        }

    @cached_property
    def digests(self) -> dict[str, dict[str, str]]:
        """What identifies the voxels of each volume of a part."""
        parts = {"train": self.datasplit.train, "validate": self.datasplit.validate}
        return {
            part: {dataset.name: dataset.digest() for dataset in datasets}
            for part, datasets in parts.items()
        }

    def score_header(self) -> ScoreHeader:
        """What the scores of its validations mean."""
        return score_header(
            self.validation_scores, self.config.task_config, self.digests["validate"]
        )

    def describe_machine(self) -> dict[str, Any]:
        """Where it is trained, as plain data."""
        device = self.trainer.device
        gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
        return {
            "host": platform.node(),
            "device": str(device),
            "gpu": gpu,
            "threads": torch.get_num_threads(),
            "processes": self.ranks.world,
        }

    def begin(self, read_run: ReadRun) -> str:
        """Load the weights of `start` into the model, if there is one; returns a report.

        Args:
            read_run: see `Start.initialize_weights`.
        """
        if self.start is None:
            return ""
        names = self.task.predictor.channel_names
        message = self.start.initialize_weights(self.model, names, read_run)
        self.train_state.reset_ema()
        return message

    def batches(self, begin: int) -> Iterator[Batch]:
        """The batches of all iterations from `begin` on."""
        return self.trainer.batches(
            self.datasplit.train,
            self.task.predictor,
            self.sample_shape,
            self.repetition,
            begin,
            self.num_iterations,
            *([] if self.ranks.world == 1 else [self.ranks]),
        )

    def train_step(self, batch: Batch) -> TrainingIterationStats:
        """Change the weights by one batch.

        Raises:
            NonFiniteError: loss or gradient is not finite; the weights have not changed.
        """
        begin = time.perf_counter()
        stats = self.finish_step(batch, self.start_step(batch))
        stats.time = time.perf_counter() - begin
        return stats

    def start_step(self, batch: Batch) -> StartedStep:
        """Begin to change the weights by one batch; a GPU may finish it later."""
        return self.train_state.start_step(batch, self.learning_rate(batch.iteration))

    def finish_step(self, batch: Batch, started: StartedStep) -> TrainingIterationStats:
        """The statistics of a step, except for its time.

        Raises:
            NonFiniteError: loss or gradient is not finite; the step has changed nothing.
        """
        step = started.result()
        if not step.is_finite:
            raise self._non_finite(step, batch)
        return TrainingIterationStats(
            batch.iteration,
            step.loss,
            math.nan,
            learning_rate=self.learning_rate(batch.iteration),
            gradient_norm=step.gradient_norm,
        )

    def learning_rate(self, iteration: int) -> float:
        """The learning rate of a step, given the validations so far."""
        return self.trainer.learning_rate(iteration, self.criterion_history)

    @property
    def criterion_history(self) -> CriterionHistory:
        """The best value of `task.criterion` at each validation so far."""
        scores = self.validation_scores.scores
        if len(self._history.values) != len(scores):
            self._history = self.validation_scores.criterion_history(self.task.criterion)
        return self._history

    def reason_to_stop(self) -> str:
        """Why the run should stop early, judging by its own validations; empty if it continues."""
        return self.trainer.reason_to_stop(self.criterion_history)

    def validation_due(self, iteration: int) -> bool:
        """Whether weights trained until `iteration` still have to be validated."""
        interval = iteration % self.validation_interval == 0 and iteration > 0
        due = interval or iteration == self.num_iterations
        return due and self.validation_scores.validated_until() <= iteration

    def _non_finite(self, step: Step, batch: Batch) -> NonFiniteError:
        """The error, with the first micro-batch of any process whose loss is not finite."""
        parts = batch.parts(len(step.losses))
        bad = [p for p, loss in zip(parts, step.losses, strict=True) if not math.isfinite(loss)]
        found: tuple[list[str], dict[str, Tensor]] | None = None
        if bad or math.isfinite(step.loss):
            part = (bad or parts)[0]
            prediction = self.train_state.trained_on(part.raw)
            tensors = {"raw": part.raw, "target": part.target, "weight": part.weight}
            tensors["prediction"] = prediction
            found = list(part.places), {k: v.cpu() for k, v in tensors.items()}
        places, tensors = next(f for f in self.ranks.all_gather(found) if f is not None)
        what = "gradient" if math.isfinite(step.loss) else "loss"
        value = step.gradient_norm if math.isfinite(step.loss) else step.loss
        return NonFiniteError(
            f"non-finite {what} in iteration {batch.iteration}: {value}; its batch: "
            f"{'; '.join(places)}. If raw and labels look right there, lower "
            f"trainer.learning_rate or trainer.gradient_clip",
            tensors,
        )

    def _check_normalization(self) -> None:
        """Refuse batches of which a level of the network that is normalised is one number."""
        config, model = self.trainer.config, self.model
        samples = getattr(config, "batch_size", 1) // config.micro_batches
        norms = nn.modules.batchnorm._NormBase
        if not any(isinstance(m, norms) for m in model.modules()):
            return
        shape = (samples, model.num_in_channels, *model.input_shape)
        try:
            output_shape(model, shape, training=True)
        except ValueError as error:
            if "more than 1 " not in str(error):
                raise
            raise InputError(
                f"architecture.norm: of a crop of {list(model.input_shape)} voxels, a level of the "
                f"network is a single voxel, which cannot be normalised: give a larger "
                f"architecture.input_shape, with norm=batch several crops per micro-batch "
                f"(trainer.batch_size), or another architecture.norm"
            ) from error

    def _check_micro_batches(self) -> None:
        micro, world = self.trainer.config.micro_batches, self.ranks.world
        if micro % world:
            raise InputError(
                f"trainer.micro_batches={micro} cannot be shared by {world} processes: give a "
                f"multiple of {world}, and trainer.batch_size a multiple of that"
            )
