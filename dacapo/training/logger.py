"""The interface of loggers."""

from __future__ import annotations

from abc import ABC, abstractmethod

from dacapo.experiments.training_iteration_stats import TrainingIterationStats
from dacapo.experiments.validation_scores import ValidationScores

STEP_COLUMNS = ("loss", "time", "alone", "learning_rate", "gradient_norm")
"""The metrics of a step."""


class Logger(ABC):
    """Receives every step and every validation of a run."""

    @abstractmethod
    def log_step(self, stats: TrainingIterationStats) -> None: ...

    @abstractmethod
    def log_scores(self, scores: ValidationScores) -> None:
        """Log the last of these validations."""

    @abstractmethod
    def flush(self) -> None:
        """Write buffered metrics."""

    def close(self) -> None:
        """Finish logging."""
        self.flush()


class MetricsLogger(Logger):
    """A program that receives numbers by name, such as `training/loss`, and by iteration.

    Args:
        criterion: the criterion that selects the setting whose scores are logged.
    """

    def __init__(self, criterion: str) -> None:
        self._criterion = criterion

    @abstractmethod
    def log_metrics(self, iteration: int, values: dict[str, float]) -> None: ...

    def log_step(self, stats: TrainingIterationStats) -> None:
        values = {f"training/{name}": float(getattr(stats, name)) for name in STEP_COLUMNS}
        self.log_metrics(stats.iteration + 1, values)

    def log_scores(self, scores: ValidationScores) -> None:
        latest = scores.scores[-1]
        best = scores.subscores([latest]).best(self._criterion)
        if best is not None:
            values = {
                f"validation/{dataset.name}/{criterion}": value
                for dataset, rows in zip(scores.datasets, latest.scores, strict=True)
                for criterion, value in zip(scores.criteria, rows[best.parameters], strict=True)
            }
            self.log_metrics(latest.iteration, values)
