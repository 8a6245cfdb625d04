"""The base of trainers, and the batches that they make."""

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
    """The data of one training step, on the training device.

    Attributes:
        iteration: index of the step.
        raw: (B, C, *spatial), mostly between 0 and 1; the train state scales it for the network.
        target, weight: (B, C', *spatial), with the shape of the model's output.
        places: the origin of each sample, for messages.
        ready: on a GPU, the event after which the tensors are valid; they are made in another
            stream.
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
        """Make the current GPU stream wait until the tensors are ready."""
        if self.ready is None:
            return
        stream = torch.cuda.current_stream(self.raw.device)
        stream.wait_event(self.ready)
        for tensor in (self.raw, self.target, self.weight):
            tensor.record_stream(stream)


@dataclass(frozen=True)
class SampleShape:
    """Input and output of the model: shapes in voxels, voxel sizes in world units."""

    input_shape: Coordinate
    input_voxel_size: Coordinate
    output_shape: Coordinate
    output_voxel_size: Coordinate

    @property
    def context(self) -> Coordinate:
        """How much larger the input is than the output on each side, in world units."""
        input_size = self.input_shape * self.input_voxel_size
        return (input_size - self.output_shape * self.output_voxel_size) / 2


class Trainer(ABC):
    """Makes batches, and decides how weights are updated.

    Args:
        config: its options; the step and the loop use those that all trainers share.
    """

    def __init__(self, config: TrainerConfig) -> None:
        self.config = config

    @property
    def precision(self) -> torch.dtype:
        """The type in which the network computes; weights and optimizer are float32."""
        return _PRECISIONS[self.config.precision]

    @property
    def channels_last(self) -> bool:
        """Whether the channels of a voxel are contiguous in memory."""
        chosen = self.config.channels_last
        faster = self.precision != torch.float32 or self.device.type == "cpu"
        return faster if chosen is None else chosen

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
        """The batches of iterations `begin` to `end`, each a pure function of (seed, iteration).

        Args:
            ranks: the processes that share each batch; this process gets its own micro-batches.
        """

    @abstractmethod
    def create_optimizer(self, model: Model) -> torch.optim.Optimizer: ...

    @abstractmethod
    def learning_rate(
        self,
        iteration: int,
        history: CriterionHistory = CriterionHistory(),  # noqa: B008
    ) -> float:
        """The learning rate of a step: a pure function of its index and earlier validations."""

    def reason_to_stop(self, history: CriterionHistory) -> str:
        """Why training should stop early, given the validations so far; empty if it continues."""
        return ""
