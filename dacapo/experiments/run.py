"""A run: everything that a `RunConfig` builds, and one training step."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

import torch
from funlib.geometry import Coordinate, Roi
from torch import Tensor

from dacapo.arrays.units import from_world
from dacapo.errors import InputError
from dacapo.experiments.criterion_history import CriterionHistory
from dacapo.experiments.model import Model
from dacapo.experiments.run_config import RunConfig
from dacapo.experiments.starts.start import ReadRun
from dacapo.experiments.train_state import Step, TrainState
from dacapo.experiments.trainers.trainer import Batch, SampleShape
from dacapo.experiments.training_iteration_stats import TrainingIterationStats
from dacapo.experiments.training_stats import TrainingStats
from dacapo.experiments.validation_scores import ValidationScores
from dacapo.ops.draws import seed
from dacapo.processes.ranks import SINGLE_PROCESS, Ranks


class NotFiniteError(InputError):
    """A loss or a gradient that is no number.

    Attributes:
        tensors: raw, target, weight and prediction of the micro-batch where it happened.
    """

    def __init__(self, message: str, tensors: Mapping[str, Tensor]) -> None:
        super().__init__(message)
        self.tensors = tensors


class Run:
    """Builds the parts, checks that they fit, and trains step by step.

    A run does not know where it is saved. Everything random in it is a pure function of the
    repetition and the iteration.

    Attributes:
        name, repetition, num_iterations, validation_interval: as configured.
        task, architecture, trainer, datasplit, start: what the configs build.
        ranks: the processes that train it.
        train_state: the model, its optimizer and all else that a checkpoint holds.
        training_stats, validation_scores: the history so far.
    """

    def __init__(self, run_config: RunConfig, ranks: Ranks = SINGLE_PROCESS) -> None:
        self.config, self.ranks = run_config, ranks
        self.name = run_config.name
        self.repetition = run_config.repetition
        self.num_iterations = run_config.num_iterations
        self.validation_interval = run_config.validation_interval

        with ThreadPoolExecutor(1) as reader:  # data and model get ready side by side
            datasplit = reader.submit(run_config.datasplit_config.build)
            self.task = run_config.task_config.build()
            self.trainer = run_config.trainer_config.build()
            start = run_config.start_config
            self.start = None if start is None else start.build()
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed(self.repetition, "weights"))
                self.architecture = run_config.architecture_config.build()
                self._check_task_axes()
                model = self.task.predictor.create_model(self.architecture)
            self._check_micro_batches()
            if self.start is not None:
                self.start.freeze(model)
            loss = self.task.loss
            self.train_state = TrainState(model, loss, self.trainer, self.repetition, ranks)
        self.datasplit = datasplit.result()
        self.sample_shape = self._sample_shape()
        self.datasplit.check_apart(self._reach())

        self._criterion_history = CriterionHistory()
        self.training_stats = TrainingStats()
        self.validation_scores = ValidationScores(
            self.task.post_processor.enumerate_parameters(),
            self.datasplit.validate,
            self.task.evaluator.evaluation_scores,
        )
        self._check_criteria()

    @property
    def model(self) -> Model:
        model: Model = self.train_state.model
        return model

    def begin(self, read_run: ReadRun) -> str:
        """Put the weights of `start` into the model, if there is one; what did not fit, in words.

        Args:
            read_run: as `Start.initialize_weights` wants it.
        """
        if self.start is None:
            return ""
        names = self.task.predictor.channel_names
        told = self.start.initialize_weights(self.model, names, read_run)
        self.train_state.reset_ema()
        return told

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
            NotFiniteError: loss or gradient is not finite; the weights have not changed.
        """
        begin = time.perf_counter()
        rate = self.trainer.learning_rate(batch.iteration, self.criterion_history)
        step = self.train_state.step(batch, rate)
        if not step.is_finite:
            raise self._not_finite(step, batch)
        return TrainingIterationStats(
            batch.iteration,
            step.loss,
            time.perf_counter() - begin,
            learning_rate=rate,
            gradient_norm=step.gradient_norm,
        )

    def _not_finite(self, step: Step, batch: Batch) -> NotFiniteError:
        parts = batch.parts(len(step.losses))
        odd = [p for p, loss in zip(parts, step.losses, strict=True) if not math.isfinite(loss)]
        here: tuple[list[str], dict[str, Tensor]] | None = None
        if odd or math.isfinite(step.loss):
            part = (odd or parts)[0]
            with torch.no_grad():
                prediction = self.train_state.forward(part.raw)
            tensors = {"raw": part.raw, "target": part.target, "weight": part.weight}
            tensors["prediction"] = prediction
            here = list(part.places), {k: v.cpu() for k, v in tensors.items()}
        places, tensors = next(found for found in self.ranks.all_gather(here) if found is not None)
        what = "gradient" if math.isfinite(step.loss) else "loss"
        value = step.gradient_norm if math.isfinite(step.loss) else step.loss
        return NotFiniteError(
            f"the {what} of iteration {batch.iteration} is {value}; its batch: "
            f"{'; '.join(places)}. A lower trainer.learning_rate or trainer.gradient_clip "
            f"may help, if raw and labels look right there",
            tensors,
        )

    @property
    def criterion_history(self) -> CriterionHistory:
        """How `task.criterion` went so far."""
        scores = self.validation_scores.scores
        if len(self._criterion_history.values) != len(scores):
            self._criterion_history = self.validation_scores.criterion_history(self.task.criterion)
        return self._criterion_history

    def reason_to_stop(self) -> str:
        """Why the run ends early by its own validations; empty when it goes on."""
        return self.trainer.reason_to_stop(self.criterion_history)

    def forward(self, raw: Tensor) -> Tensor:
        """See `TrainState.forward`."""
        return self.train_state.forward(raw)

    def state(self) -> dict[str, Tensor]:
        """See `TrainState.state`."""
        return self.train_state.state()

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """See `TrainState.load_state`."""
        self.train_state.load_state(tensors)

    def validation_due(self, iteration: int) -> bool:
        """Whether weights trained until `iteration` are to be validated and have not been."""
        interval = iteration % self.validation_interval == 0 and iteration > 0
        due = interval or iteration == self.num_iterations
        return due and self.validation_scores.validated_until() <= iteration

    def _check_micro_batches(self) -> None:
        micro, world = self.trainer.micro_batches, self.ranks.world
        if micro % world:
            raise InputError(
                f"trainer.micro_batches={micro} cannot be shared by {world} processes: give a "
                f"multiple of {world}, and trainer.batch_size a multiple of that"
            )

    def _check_criteria(self) -> None:
        known = self.validation_scores.criteria
        for criterion in self.trainer.keep_best:
            if criterion not in known:
                raise InputError(
                    f"trainer.keep_best: {criterion!r} is no score of this task; there are "
                    f"{', '.join(known)}"
                )

    def _check_task_axes(self) -> None:
        dims = self.architecture.dims
        if self.task.predictor.num_axes not in (None, dims):
            raise InputError(
                f"task.neighborhood has offsets of {self.task.predictor.num_axes} axes, but "
                f"architecture.input_shape has {dims}"
            )

    def _check_classes(self) -> None:
        """Classes that datasets name exist, and each class can be learned somewhere."""
        classes = self.task.predictor.classes
        for dataset in self.datasplit.all:
            unknown = sorted(set(dataset.classes or ()) - set(classes))
            if classes and unknown:
                raise InputError(
                    f"dataset {dataset.name}: classes names {unknown[0]}, which is none of "
                    f"task.classes: {', '.join(classes)}"
                )
        missing = set(classes)
        for dataset in self.datasplit.train:
            annotated = {c for c, a in zip(classes, dataset.annotates(classes), strict=True) if a}
            for block in dataset.blocks() if missing & annotated else ():
                labels = dataset.read_gt(block)
                here = zip(classes, self.task.predictor.class_masks(labels), strict=True)
                missing -= annotated & {name for name, is_there in here if is_there.any()}
                if not missing & annotated:
                    break
        if missing:
            raise InputError(
                f"task.classes: no training volume has a voxel of {', '.join(sorted(missing))} "
                f"that is annotated"
            )

    def _check_known(self) -> None:
        """Each channel's target is known somewhere."""
        labels = [dataset.gt for dataset in self.datasplit.train]
        unknown = [self.task.predictor.unknown_in(gt.shape, gt.voxel_size) for gt in labels]
        if all(unknown):
            raise InputError(
                f"{labels[0].name} has {list(labels[0].shape)} voxels, and no training volume has "
                f"enough: {unknown[0]}"
            )

    def _sample_shape(self) -> SampleShape:
        """What a training sample looks like; checks that data and model fit each other."""
        first, dims = self.datasplit.train[0], self.architecture.dims
        if first.raw.dims != dims:
            raise InputError(
                f"architecture.input_shape has {dims} axes, but {first.raw.name} has "
                f"{first.raw.dims}"
            )
        for dataset in self.datasplit.all:
            if dataset.num_channels != self.model.num_in_channels:
                raise InputError(
                    f"architecture.fmaps_in={self.model.num_in_channels}, but "
                    f"{dataset.raw.name} has {dataset.num_channels} channels"
                )
        input_voxel_size = first.raw.voxel_size
        output_voxel_size = self.model.scale(input_voxel_size)
        if first.gt.voxel_size != output_voxel_size:
            unit = first.gt.unit
            raise InputError(
                f"the model predicts voxels of {from_world(output_voxel_size, unit)} {unit}, but "
                f"{first.gt.name} has {from_world(first.gt.voxel_size, unit)}: change "
                f"architecture.upsample_factors"
            )
        self._check_classes()
        self._check_known()
        for dataset in self.datasplit.train:
            self._check_size(dataset.raw.name, dataset.raw.shape)
            dataset.check_annotated(to_score=False)
        for dataset in self.datasplit.validate:
            dataset.check_annotated(to_score=True)
        shape = SampleShape(
            self.model.input_shape, input_voxel_size, self.model.output_shape, output_voxel_size
        )
        if not shape.context.is_multiple_of(input_voxel_size):
            raise InputError(
                f"architecture: the output {list(shape.output_shape)} does not lie on voxels in "
                f"the middle of input_shape={list(shape.input_shape)}; change either by one"
            )
        return shape

    def _reach(self) -> Coordinate:
        """How far beyond a voxel its target looks at labels, in world units."""
        voxel_size = self.sample_shape.output_voxel_size
        voxel = Roi(voxel_size * 0, voxel_size)
        seen = self.task.predictor.gt_region_for_roi(voxel, voxel_size)
        both = zip(voxel.begin - seen.begin, seen.end - voxel.end, strict=True)
        return Coordinate(max(before, after) for before, after in both)

    def _check_size(self, name: str, shape: Coordinate) -> None:
        if any(s < i for s, i in zip(shape, self.model.input_shape, strict=True)):
            raise InputError(
                f"{name} has {list(shape)} voxels, fewer than the network's input, "
                f"architecture.input_shape={list(self.model.input_shape)}"
            )
