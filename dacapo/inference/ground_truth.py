"""The ground truth of a dataset as evaluators need it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from dacapo.arrays.units import in_nm
from dacapo.experiments.datasplits.datasets import Dataset
from dacapo.experiments.tasks.evaluators import GroundTruth


def ground_truth(dataset: Dataset, classes: Sequence[str] = ()) -> GroundTruth:
    """The ground truth of a dataset's labelled region.

    Args:
        classes: the task's classes; if the dataset annotates only some, each has its own mask.
    """
    roi = dataset.gt.roi
    mask = dataset.read_mask(roi)
    if classes and dataset.classes is not None:
        mask = np.stack([mask * np.uint8(a) for a in dataset.annotates(classes)])
    skeletons = dataset.skeletons
    if skeletons is not None:
        at = (skeletons.position - np.array(roi.begin)) / np.array(dataset.gt.voxel_size)
        skeletons = replace(skeletons, position=at)
    return GroundTruth(dataset.read_gt(roi), mask, in_nm(dataset.gt.voxel_size), skeletons)
