"""Predict, post-process, evaluate."""

from __future__ import annotations

from typing import Any

import numpy as np

from dacapo.experiments.datasplits.datasets import Dataset
from dacapo.experiments.run import Run
from dacapo.experiments.validation_iteration_scores import ValidationIterationScores
from dacapo.predict import predict


def validate(run: Run) -> ValidationIterationScores:
    """Score the present weights on every validation dataset with every parameter.

    The whole labelled region is scored; where truth or mask is 0, no voxel counts.
    """
    criteria = run.validation_scores.criteria
    scores = []
    for dataset in run.datasplit.validate:
        gt, mask = dataset.read_gt(dataset.gt.roi), dataset.read_mask(dataset.gt.roi)
        rows = []
        for _, segmentation in run.task.post_processor.process_all(predict(run, dataset)):
            evaluated = run.task.evaluator.evaluate(segmentation, gt, mask)
            rows.append([float(getattr(evaluated, criterion)) for criterion in criteria])
        scores.append(rows)
    return ValidationIterationScores(run.training_stats.trained_until(), scores)


def segment(run: Run, dataset: Dataset, parameters: int) -> np.ndarray[Any, Any]:
    """The segmentation of a dataset's labelled region with one of the post-processor's settings."""
    setting = run.task.post_processor.enumerate_parameters()[parameters]
    return run.task.post_processor.process(predict(run, dataset), setting)
