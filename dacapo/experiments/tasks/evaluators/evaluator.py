"""Scores, their directions and their bounds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Volume = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Criterion:
    """One score: its direction, its true bounds, its unit."""

    name: str
    higher_is_better: bool
    lower: float
    upper: float
    units: str
    long_name: str


class EvaluationScores(ABC):
    """The scores of one segmentation, each an attribute named like its criterion."""

    @property
    @abstractmethod
    def criteria(self) -> Sequence[str]: ...

    @abstractmethod
    def higher_is_better(self, criterion: str) -> bool: ...

    @abstractmethod
    def bounds(self, criterion: str) -> tuple[float, float]:
        """The lowest and the highest value there can be, infinite where there is none."""

    @abstractmethod
    def store_best(self, criterion: str) -> bool:
        """Whether the weights that are best by this criterion are worth keeping."""

    def describe(self, criterion: str) -> tuple[str, str]:
        """The unit of a criterion and its name in words."""
        return "1", criterion.replace("_", " ")


class Evaluator(ABC):
    """Compares a segmentation with truth."""

    @property
    @abstractmethod
    def evaluation_scores(self) -> EvaluationScores:
        """An empty instance: it says which criteria there are."""

    @abstractmethod
    def evaluate(self, output: Volume, gt: Volume, mask: Volume | None = None) -> EvaluationScores:
        """Scores of an output (*spatial) against truth; voxels of mask 0 do not count."""
