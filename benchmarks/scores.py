"""Scores beside the libraries that the tests compare them with: how many times as fast.

One thread, a made-up volume of 128^3 voxels; medians of calls in turn.

    python benchmarks/scores.py
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from statistics import median

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from monai.metrics.hausdorff_distance import compute_hausdorff_distance
from monai.metrics.surface_distance import compute_average_surface_distance
from scipy.ndimage import distance_transform_edt
from skimage.metrics import adapted_rand_error, variation_of_information
from skimage.segmentation import watershed

from dacapo.experiments.tasks.evaluators import InstanceEvaluator, SemanticEvaluator, Truth
from dacapo.experiments.tasks.label_groups import LabelGroups
from dacapo.ops.components import components
from dacapo.ops.distances import signed_distance
from dacapo.ops.synthetic import tissue
from dacapo.ops.watershed import seeded_watershed

SHAPE = (128, 128, 128)
REPEAT = 5


def in_turn(*functions: Callable[[], object]) -> list[float]:
    """Median seconds of each, after one call of each that warms up."""
    times: list[list[float]] = [[] for _ in functions]
    for turn in range(REPEAT + 1):
        for function, taken in zip(functions, times, strict=True):
            begin = time.perf_counter()
            function()
            if turn:
                taken.append(time.perf_counter() - begin)
    return [median(taken) for taken in times]


def report(name: str, ours: Callable[[], object], theirs: Callable[[], object]) -> None:
    mine, other = in_turn(ours, theirs)
    print(f"{name:52s} {mine:8.3f} s {other:8.3f} s {other / mine:6.1f} x")


def main() -> None:
    torch.set_num_threads(1)
    made = tissue(SHAPE, (1, 1, 1), 24.0, 0.0, (0, 0))
    cells, sparse = made.cells, made.apart(3)
    rng = np.random.default_rng(0)
    other = np.where(rng.random(SHAPE) < 0.05, 0, cells // 2 + 1).astype(np.uint32)
    print(f"{'':52s} {'ours':>10s} {'theirs':>10s}")

    score = InstanceEvaluator().against(Truth(cells))
    report(
        "18 instance scores; scikit-image: VOI, adapted Rand",
        lambda: score(other),
        lambda: (variation_of_information(cells, other), adapted_rand_error(cells, other)),
    )
    truth, prediction = sparse != 0, np.roll(sparse, 2, 0) != 0
    semantic = SemanticEvaluator(LabelGroups()).against(Truth(sparse))
    tensors = [torch.from_numpy(a)[None, None] for a in (prediction, truth)]
    report(
        "24 scores of a class; MONAI: Hausdorff, its 95 %, mean",
        lambda: semantic(prediction.astype(np.uint8)),
        lambda: (
            compute_hausdorff_distance(*tensors, include_background=True),
            compute_hausdorff_distance(*tensors, include_background=True, percentile=95),
            compute_average_surface_distance(*tensors, include_background=True, symmetric=True),
        ),
    )
    report(
        "signed distance of objects; scipy's, of foreground",
        lambda: signed_distance(sparse, (1, 1, 1), 20),
        lambda: distance_transform_edt(truth) - distance_transform_edt(~truth),
    )
    distance = signed_distance(sparse, (1, 1, 1), 20)
    seeds = components(distance > 4)
    report(
        "seeded watershed; scikit-image's",
        lambda: seeded_watershed(distance, seeds, truth),
        lambda: watershed(-distance, seeds, mask=truth),
    )


if __name__ == "__main__":
    main()
