"""A run: everything that a `RunConfig` builds, and one training step."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import torch
from funlib.geometry import Coordinate, Roi
from torch import Tensor

from dacapo.arrays.units import from_world
from dacapo.errors import InputError
from dacapo.experiments.run_config import RunConfig
from dacapo.experiments.trainers.trainer import Batch, SampleShape
from dacapo.experiments.training_iteration_stats import TrainingIterationStats
from dacapo.experiments.training_stats import TrainingStats
from dacapo.experiments.validation_scores import ValidationScores
from dacapo.ops.draws import seed


class Run:
    """Builds the parts, checks that they fit, and trains step by step.

    A run does not know where it is saved. Everything random in it is a pure function of the
    repetition and the iteration.

    Attributes:
        name, repetition, num_iterations, validation_interval: as configured.
        task, architecture, trainer, datasplit, start: what the configs build.
        model: on the device that trains.
        optimizer: of the model's weights.
        training_stats, validation_scores: the history so far.
    """

    def __init__(self, run_config: RunConfig) -> None:
        self.config = run_config
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
                self.model = self.task.predictor.create_model(self.architecture)
            memory_format = self._memory_format
            self.model = self.model.to(self.trainer.device).to(memory_format=memory_format)  # type: ignore[call-overload]
            self.optimizer = self.trainer.create_optimizer(self.model)
        self.datasplit = datasplit.result()
        self.sample_shape = self._sample_shape()
        self.datasplit.check_apart(self._reach())

        self.training_stats = TrainingStats()
        self.validation_scores = ValidationScores(
            self.task.post_processor.enumerate_parameters(),
            self.datasplit.validate,
            self.task.evaluator.evaluation_scores,
        )

    def batches(self, begin: int) -> Iterator[Batch]:
        """The batches of all iterations from `begin` on."""
        return self.trainer.batches(
            self.datasplit.train,
            self.task.predictor,
            self.sample_shape,
            self.repetition,
            begin,
            self.num_iterations,
        )

    def train_step(self, batch: Batch) -> TrainingIterationStats:
        """Change the weights by one batch.

        Raises:
            InputError: loss or gradient is not finite; the weights have not changed.
        """
        begin = time.perf_counter()
        for group in self.optimizer.param_groups:
            group["lr"] = self.trainer.learning_rate(batch.iteration)
        torch.manual_seed(seed(self.repetition, batch.iteration, "network"))  # for dropout
        self.model.train()
        prediction = self.forward(batch.raw)
        loss = self.task.loss.compute(prediction, batch.target, batch.weight)
        value = loss.item()
        if not math.isfinite(value):
            raise self._not_finite("loss", value, batch)
        self.optimizer.zero_grad()
        loss.backward()
        most = self.trainer.gradient_clip or math.inf
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), most).item()
        if not math.isfinite(norm):
            raise self._not_finite("gradient", norm, batch)
        self.optimizer.step()
        return TrainingIterationStats(batch.iteration, value, time.perf_counter() - begin)

    @staticmethod
    def _not_finite(what: str, value: float, batch: Batch) -> InputError:
        return InputError(
            f"the {what} of iteration {batch.iteration} is {value}; its batch: "
            f"{'; '.join(batch.places)}. A lower trainer.learning_rate or trainer.gradient_clip "
            f"may help, if raw and labels look right there"
        )

    def forward(self, raw: Tensor) -> Tensor:
        """The model's float32 output for an input (B, C, *spatial), in the trainer's precision."""
        raw = raw.to(memory_format=self._memory_format)
        precision = self.trainer.precision
        with torch.autocast(raw.device.type, precision, enabled=precision != torch.float32):
            output: Tensor = self.model(raw)
        return output.float()

    def validation_due(self, iteration: int) -> bool:
        """Whether weights trained until `iteration` are to be validated and have not been."""
        interval = iteration % self.validation_interval == 0 and iteration > 0
        due = interval or iteration == self.num_iterations
        return due and self.validation_scores.validated_until() <= iteration

    def state(self) -> dict[str, Tensor]:
        """Weights and optimizer state, by name."""
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        for index, entries in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{k}": v for k, v in entries.items()}
        return tensors

    def load_state(self, tensors: dict[str, Tensor]) -> None:
        """The inverse of `state`."""
        self.model.load_state_dict(
            {k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")}
        )
        entries: dict[int, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            if key.startswith("optimizer."):
                _, index, name = key.split(".", 2)
                entries.setdefault(int(index), {})[name] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": entries, "param_groups": groups})

    @property
    def _memory_format(self) -> torch.memory_format:
        """Channels last is what makes low precision fast, on CPUs and on GPUs."""
        if self.trainer.precision == torch.float32:
            return torch.contiguous_format
        flat = self.architecture.dims == 2
        return torch.channels_last if flat else torch.channels_last_3d

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
