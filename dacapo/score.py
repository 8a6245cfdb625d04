"""`python -m dacapo.score segmentation=... gt=... kind=...`: score any two files, without a run."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from enum import Enum
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dacapo.config import config, from_arguments
from dacapo.errors import InputError, one_line_errors
from dacapo.experiments.tasks.task_config import ClassScoring, ObjectScoring, check_classes

if TYPE_CHECKING:
    from funlib.geometry import Roi

    from dacapo.arrays import Array
    from dacapo.experiments.tasks.evaluators import GroundTruth, Scores


class Kind(Enum):
    """What labels are."""

    instance = "instance"
    semantic = "semantic"


@config(None)
@dataclass(kw_only=True)
class ScoreConfig(ObjectScoring, ClassScoring):
    """Score a segmentation against truth with the evaluators that validation uses."""

    prefix = ""

    segmentation: str
    """file.h5:dataset, store.zarr/array or image.ome.zarr."""
    gt: str
    """GroundTruth, on the same grid; all of it is scored."""
    kind: Kind
    """instance: labels are ids of objects; semantic: of classes, or 0 and anything else."""
    mask: str | None = None
    """Nonzero where truth is annotated (default: everywhere)."""
    classes: dict[str, list[int]] = field(default_factory=dict)
    """For kind=semantic: class -> ids, in both files (default: all that is not 0 is one class)."""
    ignore_label: int | None = None
    """Ground truth of this id is not annotated."""
    skeletons: str | None = None
    """An .swc file or a folder of them, in the unit of truth: also score the run length."""
    overlap_only: bool = False
    """Score the part that both files have, instead of refusing a segmentation that lacks some."""
    voxel_size: list[float] | None = None
    """Instead of what the files say, an axis (default where they say nothing: pixels)."""
    unit: str | None = None
    """Of voxel_size: nm, um, pixel..."""
    json: bool = False
    """Print JSON instead of a table."""


def main() -> None:
    """The command line."""
    with one_line_errors():
        asked = from_arguments(ScoreConfig, sys.argv[1:])
        if asked is not None:
            scores, region = score(asked)
            print_json(scores, region) if asked.json else print_table(scores, region)


def score(asked: ScoreConfig) -> tuple[Scores, str]:
    """The scores, and the region that they are of in words.

    Raises:
        InputError: files that cannot be opened or do not fit each other.
    """
    from dacapo.experiments.datasplits.datasets import as_labels
    from dacapo.experiments.tasks.label_groups import LabelGroups

    check_classes(asked.classes, "classes")
    segmentation, gt = (_open(asked, key) for key in ("segmentation", "gt"))
    mask = None if asked.mask is None else _open(asked, "mask")
    roi = _common_region(segmentation, gt, mask, asked.overlap_only)
    truth = _truth(asked, gt, mask, roi)
    output = as_labels(segmentation.read(roi)).reshape(truth.gt.shape)
    groups = LabelGroups(asked.classes)
    if asked.kind is Kind.instance:
        asked.run_length = asked.skeletons is not None
        scores: Any = asked.object_evaluator().against(truth)(output)
    else:
        scores = asked.class_evaluator(groups).against(truth)(groups.split(output))
    return scores, f"{list(truth.gt.shape)} voxels, {gt.extent(roi)}"


def print_table(scores: Scores, region: str) -> None:
    """One line a criterion; the classes of semantic scores side by side."""
    from dacapo.training.terminal import console, table

    classes = list(dict.fromkeys(c.split("__")[0] for c in scores.criteria if "__" in c))
    shown = classes if len(classes) > 1 else []
    rows = []
    for name in (c for c in scores.criteria if "__" not in c):
        value = getattr(scores, name)
        units, long_name = scores.describe(name)
        better = "higher" if scores.higher_is_better(name) else "lower"
        note = f"{long_name} ({units})" if units != "1" else long_name
        if isnan(value):
            note += f"; {scores.reason(name)}"
        rows.append(
            [
                name,
                _number(value),
                *(_number(getattr(scores, f"{c}__{name}")) for c in shown),
                better if scores.selects(name) else "",
                note,
            ]
        )
    mean = "mean" if shown else "score"
    table("Scores", ["criterion", mean, *shown, "better", "meaning"], rows, region)
    console.print()


def print_json(scores: Scores, region: str) -> None:
    """All scores as they are, null for NaN with its reason beside it."""
    values = {name: getattr(scores, name) for name in scores.criteria}
    document = {
        "region": region,
        "scores": {name: None if isnan(v) else v for name, v in values.items()},
        "missing": {name: scores.reason(name) for name, v in values.items() if isnan(v)},
    }
    print(json.dumps(document, indent=2))


def _number(value: float) -> str:
    return f"{value:.6g}"


def _open(asked: ScoreConfig, key: str) -> Array:
    from dacapo.arrays import open_array

    array = open_array(
        getattr(asked, key),
        voxel_size=asked.voxel_size,
        unit=asked.unit,
        key=key,
        pixels_if_silent=True,
    )
    if key != "mask" and array.dtype.kind not in "iub":
        raise InputError(f"{array.name}: labels must be integers, not {array.dtype}")
    if any(n != 1 for n in array.channel_shape):
        raise InputError(f"{array.name}: one channel expected, shape {array.source.shape}")
    return array


def _common_region(segmentation: Array, gt: Array, mask: Array | None, overlap_only: bool) -> Roi:
    """The region to score: all of truth, which the other arrays must cover."""
    roi = gt.roi
    for other in (segmentation, mask):
        if other is None:
            continue
        if other.voxel_size != gt.voxel_size or other.dims != gt.dims:
            raise InputError(
                f"{other.name} has voxels of {list(other.voxel_size)} and {gt.name} of "
                f"{list(gt.voxel_size)} (in pm, or thousandths of a pixel): they must be equal"
            )
        if other.roi.contains(gt.roi):
            continue
        if not overlap_only or not other.roi.intersects(roi):
            raise InputError(
                f"{other.name} does not cover {gt.name}: {other.extent()} and "
                f"{gt.extent()}; overlap_only=true scores what both have"
            )
        roi = roi.intersect(other.roi)
    return roi


def _truth(asked: ScoreConfig, gt: Array, mask: Array | None, roi: Roi) -> GroundTruth:
    import numpy as np

    from dacapo.arrays.formats.swc import read_swc
    from dacapo.experiments.datasplits.datasets import Dataset
    from dacapo.inference.scoring import truth

    skeletons = None
    if asked.skeletons is not None:
        if asked.kind is Kind.semantic or gt.dims != 3:
            raise InputError("skeletons are for kind=instance and three axes")
        skeletons = read_swc(Path(asked.skeletons), gt.unit)
    dataset = Dataset(
        "gt", gt, gt.crop(roi), mask, ignore_label=asked.ignore_label, skeletons=skeletons
    )
    found = truth(dataset)
    if not np.any(found.mask):
        raise InputError(f"{gt.name}: nothing is annotated in the region that is scored")
    return found


if __name__ == "__main__":
    main()
