"""Predict, post-process, evaluate."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan
from typing import Any

import numpy as np

from dacapo.errors import InputError
from dacapo.experiments.datasplits.datasets import Dataset
from dacapo.experiments.datasplits.datasets.dataset import NormalizedRaw
from dacapo.experiments.preflight import check_voxel_size
from dacapo.experiments.run import Run
from dacapo.experiments.tasks import Task
from dacapo.experiments.tasks.post_processors import LookupSegmentation
from dacapo.experiments.validation_iteration_scores import ValidationIterationScores
from dacapo.inference.blocks import Network, predict
from dacapo.inference.ground_truth import ground_truth
from dacapo.inference.predicted import check_fits
from dacapo.inference.trained import TrainedModel


def validate(run: Run) -> ValidationIterationScores:
    """Score the current weights on every validation dataset with every setting.

    The whole labelled region is scored; voxels that are not annotated are ignored.
    """
    scores = [score_settings(run, run.task, dataset) for dataset in run.datasplit.validate]
    return ValidationIterationScores(run.training_stats.trained_until(), scores)


def score_settings(network: Network, task: Task, dataset: Dataset) -> list[list[float]]:
    """The scores of a dataset: for each setting of the post-processor, those of all criteria."""
    score = task.evaluator.against(ground_truth(dataset, task.predictor.classes))
    rows = []
    for _, segmentation in task.post_processor.process_all(predict(network, dataset)):
        if isinstance(segmentation, LookupSegmentation) and not task.evaluator.reads_lookups:
            segmentation = segmentation.volume()
        evaluated = score(segmentation)
        criteria = task.evaluator.evaluation_scores.criteria
        rows.append([float(getattr(evaluated, criterion)) for criterion in criteria])
    return rows


def volume_facts(task: Task, datasets: Sequence[Dataset]) -> dict[str, Any]:
    """What is known of volumes before anything is predicted; see `ScoreHeader.facts`."""
    criteria = task.evaluator.evaluation_scores
    facts: dict[str, Any] = {}
    for dataset in datasets:
        known = ground_truth(dataset, task.predictor.classes)
        score = task.evaluator.against(known)
        found = [score(output) for output in task.evaluator.trivial(known.gt)]
        trivial = {}
        for name in criteria.criteria:
            values = [float(getattr(scores, name)) for scores in found]
            values = [value for value in values if not isnan(value)]
            best = max if criteria.higher_is_better(name) else min
            trivial[name] = best(values) if values else None
        is_annotated = True if known.mask is None else known.mask != 0
        has_background = bool(np.any((known.gt == 0) & is_annotated))
        facts[dataset.name] = {"trivial": trivial, "has_background": has_background}
    return facts


def check_scorable(task: Task, datasets: Sequence[Dataset]) -> None:
    """Before training, refuse data that could not be validated.

    Raises:
        InputError: `task.criterion` is NaN for a dataset even with a perfect segmentation, so that
            the mean over the datasets would not exist.
    """
    evaluator, criterion = task.evaluator, task.criterion
    for dataset in datasets:
        known = ground_truth(dataset, task.predictor.classes)
        perfect = evaluator.perfect(known.gt)
        if perfect is not None and isnan(getattr(evaluator.against(known)(perfect), criterion)):
            raise InputError(
                f"datasplit.validate.{dataset.name}: task.criterion={criterion} cannot be computed "
                f"there, not even for a perfect segmentation, because the ground truth lacks "
                f"what it needs; leave this volume out or choose another criterion"
            )


def segment(run: Run, dataset: Dataset, parameters: int) -> np.ndarray[Any, Any]:
    """The segmentation of a dataset's labelled region with one of the post-processor's settings."""
    setting = run.task.post_processor.enumerate_parameters()[parameters]
    return run.task.post_processor.process(predict(run, dataset), setting)


def check_volume(model: TrainedModel, dataset: Dataset) -> None:
    """Refuse a volume that does not fit a model, or in which nothing is annotated."""
    try:
        check_fits(model, NormalizedRaw(dataset.raw, dataset.intensity_range))
    except InputError as error:
        text = str(error).replace("resample=true resamples it", "give the volume resample=[...]")
        raise InputError(text) from error
    check_voxel_size(dataset, model.sample_shape.output_voxel_size)
    dataset.check_annotated(to_score=True)


def score_test(model: TrainedModel, dataset: Dataset) -> dict[str, float]:
    """Criterion -> score of a volume, with the parameters that validation chose.

    Raises:
        InputError: the volume does not fit the model, or nothing in it is annotated.
    """
    check_volume(model, dataset)
    post_processor, setting = model.choose_parameters({})
    known = ground_truth(dataset, model.task.predictor.classes)
    segmentation = post_processor.process(predict(model, dataset), setting)
    scores = model.task.evaluator.against(known)(segmentation)
    return {name: float(getattr(scores, name)) for name in scores.criteria}
