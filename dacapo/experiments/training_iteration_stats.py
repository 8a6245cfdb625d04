"""What one training step says of itself."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class TrainingIterationStats:
    """One step.

    Attributes:
        iteration: index of the step, from 0.
        loss: of the step's batch, before the weights changed.
        time: seconds of the whole iteration, waiting for data included.
        waited: seconds of it spent waiting for data.
        learning_rate: of the step.
        gradient_norm: before clipping.
    """

    iteration: int
    loss: float
    time: float
    waited: float = float("nan")
    learning_rate: float = float("nan")
    gradient_norm: float = float("nan")
