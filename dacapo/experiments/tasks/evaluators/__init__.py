"""Scores of segmentations."""

from dacapo.experiments.tasks.evaluators.evaluator import (
    Criterion,
    EvaluationScores,
    Evaluator,
    GroundTruth,
    Scores,
    check_criterion,
)
from dacapo.experiments.tasks.evaluators.instance_evaluator import InstanceEvaluator
from dacapo.experiments.tasks.evaluators.semantic_evaluator import SemanticEvaluator

__all__ = [
    "Criterion",
    "EvaluationScores",
    "Evaluator",
    "GroundTruth",
    "InstanceEvaluator",
    "Scores",
    "SemanticEvaluator",
    "check_criterion",
]
