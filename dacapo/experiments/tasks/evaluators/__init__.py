"""How good is a segmentation?"""

from dacapo.experiments.tasks.evaluators.evaluator import (
    Criterion,
    EvaluationScores,
    Evaluator,
)
from dacapo.experiments.tasks.evaluators.instance_evaluator import (
    InstanceEvaluationScores,
    InstanceEvaluator,
)

__all__ = [
    "Criterion",
    "EvaluationScores",
    "Evaluator",
    "InstanceEvaluationScores",
    "InstanceEvaluator",
]
