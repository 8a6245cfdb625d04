"""The public names of the domain, imported at first use: a config imports no torch."""

from typing import TYPE_CHECKING

from dacapo.experiments.lazy import lazy_exports

if TYPE_CHECKING:
    from dacapo.experiments.model import Model
    from dacapo.experiments.run import Run
    from dacapo.experiments.run_config import RunConfig
    from dacapo.experiments.training_iteration_stats import TrainingIterationStats
    from dacapo.experiments.training_stats import TrainingStats
    from dacapo.experiments.validation_iteration_scores import ValidationIterationScores
    from dacapo.experiments.validation_scores import ValidationScores

__all__ = [
    "Model",
    "Run",
    "RunConfig",
    "TrainingIterationStats",
    "TrainingStats",
    "ValidationIterationScores",
    "ValidationScores",
]

__getattr__ = lazy_exports(
    __name__,
    {
        "Model": "model",
        "Run": "run",
        "RunConfig": "run_config",
        "TrainingIterationStats": "training_iteration_stats",
        "TrainingStats": "training_stats",
        "ValidationIterationScores": "validation_iteration_scores",
        "ValidationScores": "validation_scores",
    },
)
