"""What a trainer does for a run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from funlib.geometry import Coordinate
from torch import Tensor

from dacapo.experiments.datasplits.datasets import Dataset
from dacapo.experiments.model import Model
from dacapo.experiments.tasks.predictors import Predictor


@dataclass(frozen=True)
class Batch:
    """What one training step sees, on the device that trains.

    Attributes:
        iteration: the step it is for.
        raw: (B, C, *spatial), the model's input.
        target, weight: (B, C', *spatial), of the model's output.
        places: where the samples come from, for messages.
    """

    iteration: int
    raw: Tensor
    target: Tensor
    weight: Tensor
    places: Sequence[str]


@dataclass(frozen=True)
class SampleShape:
    """Voxels that the model sees and gives: shapes in voxels, voxel sizes in world units."""

    input_shape: Coordinate
    input_voxel_size: Coordinate
    output_shape: Coordinate
    output_voxel_size: Coordinate

    @property
    def context(self) -> Coordinate:
        """How far the input reaches beyond the output on each side, in world units."""
        input_size = self.input_shape * self.input_voxel_size
        return (input_size - self.output_shape * self.output_voxel_size) / 2


class Trainer(ABC):
    """Makes batches and decides how weights change.

    Attributes:
        checkpoint_interval: iterations between checkpoints.
        precision: in which the network computes; weights and optimizer are float32.
        gradient_clip: largest norm of a gradient; None: any.
        profile_steps: steps that a profiler watches.
    """

    checkpoint_interval: int
    precision: torch.dtype
    gradient_clip: float | None
    profile_steps: int = 0

    @property
    @abstractmethod
    def device(self) -> torch.device: ...

    @abstractmethod
    def batches(
        self,
        datasets: Sequence[Dataset],
        predictor: Predictor,
        shape: SampleShape,
        seed: int,
        begin: int,
        end: int,
    ) -> Iterator[Batch]:
        """The batches of iterations begin to end; each a pure function of (seed, iteration)."""

    @abstractmethod
    def create_optimizer(self, model: Model) -> torch.optim.Optimizer: ...

    @abstractmethod
    def learning_rate(self, iteration: int) -> float:
        """Of a step; a pure function of its index."""
