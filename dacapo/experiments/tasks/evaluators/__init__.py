"""How good is a segmentation?"""

from dacapo.experiments.tasks.evaluators.evaluator import (
    Criterion,
    EvaluationScores,
    Evaluator,
    Scores,
    Truth,
)
from dacapo.experiments.tasks.evaluators.instance_evaluator import InstanceEvaluator
from dacapo.experiments.tasks.evaluators.semantic_evaluator import SemanticEvaluator

__all__ = [
    "Criterion",
    "EvaluationScores",
    "Evaluator",
    "InstanceEvaluator",
    "Scores",
    "SemanticEvaluator",
    "Truth",
]
