"""What a trainer does for a run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from funlib.geometry import Coordinate
from torch import Tensor

from dacapo.experiments.criterion_history import CriterionHistory
from dacapo.experiments.datasplits.datasets import Dataset
from dacapo.experiments.model import Model
from dacapo.experiments.tasks.predictors import Predictor
from dacapo.experiments.trainers.trainer_config import Precision, TrainerConfig
from dacapo.processes.ranks import SINGLE_PROCESS, Ranks

_PRECISIONS = {
    Precision.fp32: torch.float32,
    Precision.bf16: torch.bfloat16,
    Precision.fp16: torch.float16,
}


@dataclass(frozen=True)
class Batch:
    """What one training step sees, on the device that trains.

    Attributes:
        iteration: the step it is for.
        raw: (B, C, *spatial), mostly in 0 to 1; the train state scales it for the network.
        target, weight: (B, C', *spatial), of the model's output.
        places: where the samples come from, for messages.
        ready: on a GPU, when the tensors are: they are made on a stream of their own.
    """

    iteration: int
    raw: Tensor
    target: Tensor
    weight: Tensor
    places: Sequence[str]
    ready: torch.cuda.Event | None = None

    def parts(self, num: int) -> list[Batch]:
        """The batch in micro-batches of consecutive samples."""
        if num == 1:
            return [self]
        size = len(self.places) // num
        cuts = [slice(i * size, (i + 1) * size) for i in range(num)]
        return [
            replace(
                self,
                raw=self.raw[cut],
                target=self.target[cut],
                weight=self.weight[cut],
                places=self.places[cut],
            )
            for cut in cuts
        ]

    def wait(self) -> None:
        """Let what follows on the GPU wait until the tensors are ready."""
        if self.ready is None:
            return
        stream = torch.cuda.current_stream(self.raw.device)
        stream.wait_event(self.ready)
        for tensor in (self.raw, self.target, self.weight):
            tensor.record_stream(stream)


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

    Args:
        config: its options; those that any trainer has are used by the step and by the loop.
    """

    def __init__(self, config: TrainerConfig) -> None:
        self.config = config

    @property
    def precision(self) -> torch.dtype:
        """In which the network computes; weights and optimizer are float32."""
        return _PRECISIONS[self.config.precision]

    @property
    def channels_last(self) -> bool:
        """Whether values of one voxel lie together in memory."""
        chosen = self.config.channels_last
        return self.precision != torch.float32 if chosen is None else chosen

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
        ranks: Ranks = SINGLE_PROCESS,
    ) -> Iterator[Batch]:
        """The batches of iterations begin to end; each a pure function of (seed, iteration).

        Args:
            ranks: the processes that share them; this one gets its micro-batches.
        """

    @abstractmethod
    def create_optimizer(self, model: Model) -> torch.optim.Optimizer: ...

    @abstractmethod
    def learning_rate(
        self,
        iteration: int,
        history: CriterionHistory = CriterionHistory(),  # noqa: B008
    ) -> float:
        """Of a step; a pure function of its index and of the validations before it."""

    def reason_to_stop(self, history: CriterionHistory) -> str:
        """Why training ends early by the validations so far; empty when it continues."""
        return ""
