"""The scores of one validation."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class ValidationIterationScores:
    """One validation.

    Attributes:
        iteration: number of training steps the validated weights had seen.
        scores: `scores[dataset][parameter][criterion]`; NaN for what could not be computed.
    """

    iteration: int
    scores: list[list[list[float]]]
