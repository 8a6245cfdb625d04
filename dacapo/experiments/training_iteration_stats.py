"""The statistics of one training step."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class TrainingIterationStats:
    """One step.

    Attributes:
        iteration: index of the step, starting at 0.
        loss: loss of the batch, before the weights were updated.
        time: seconds of the whole iteration, waiting for data included.
        alone: seconds of a step by itself, as last measured while no batch was prepared; NaN before
            the first measurement.
        learning_rate: learning rate of the step.
        gradient_norm: norm of the gradient before clipping.
    """

    iteration: int
    loss: float
    time: float
    alone: float = float("nan")
    learning_rate: float = float("nan")
    gradient_norm: float = float("nan")
