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
from dacapo.processes.ranks import SINGLE_PROCESS, Ranks


@dataclass(frozen=True)
class Batch:
    """What one training step sees, on the device that trains.

    Attributes:
        iteration: the step it is for.
        raw: (B, C, *spatial), the model's input.
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

    Attributes:
        checkpoint_interval: iterations between checkpoints.
        keep_latest, keep_best, keep_every: which of them are kept: so many of the newest, the best
            by each of these criteria, multiples of a number.
        snapshot_interval: iterations between snapshots of a batch; None: there are none.
        loggers: programs that curves are sent to.
        precision: in which the network computes; weights and optimizer are float32.
        channels_last: whether values of one voxel lie together in memory.
        compile: whether the network is compiled.
        micro_batches: parts of a batch that go through the network one by one.
        gradient_clip: largest norm of a gradient; None: any.
        ema_decay: how slowly the average of the weights forgets; None: there is no average.
        profile_steps: steps that a profiler watches.
    """

    checkpoint_interval: int
    keep_latest: int = 2
    keep_best: Sequence[str] = ()
    keep_every: int | None = None
    snapshot_interval: int | None = None
    loggers: Sequence[str] = ()
    precision: torch.dtype = torch.float32
    channels_last: bool = False
    compile: bool = False
    micro_batches: int = 1
    gradient_clip: float | None = None
    ema_decay: float | None = None
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
        self, iteration: int, history: CriterionHistory = CriterionHistory()
    ) -> float:
        """Of a step; a pure function of its index and of the validations before it."""

    def reason_to_stop(self, history: CriterionHistory) -> str:
        """Why training ends early by the validations so far; empty when it goes on."""
        return ""
