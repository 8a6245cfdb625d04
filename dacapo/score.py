"""`python -m dacapo.score segmentation=... gt=... kind=...`: score any two files, without a run."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING

from dacapo.cli import run_command
from dacapo.config import config
from dacapo.errors import InputError, warn
from dacapo.experiments.tasks.task_config import ClassScoring, ObjectScoring, check_classes

if TYPE_CHECKING:
    from dacapo.experiments.tasks.evaluators import Scores


class Kind(Enum):
    """The meaning of labels."""

    instance = "instance"
    semantic = "semantic"


@config(None)
@dataclass(kw_only=True)
class ScoreConfig(ObjectScoring, ClassScoring):
    """Score a segmentation against ground truth with the evaluators that validation uses."""

    segmentation: str
    """file.h5:dataset, store.zarr/array or image.ome.zarr."""
    gt: str
    """Ground truth on the same grid; all of it is scored, block by block for kind=instance."""
    kind: Kind
    """instance: labels are ids of objects; semantic: of classes, or 0 and anything else."""
    mask: str | None = None
    """Nonzero where ground truth is annotated (default: everywhere)."""
    classes: dict[str, list[int]] = field(default_factory=dict)
    """For kind=semantic: class -> ids, in both files (default: all that is not 0 is one class)."""
    ignore_label: int | None = None
    """Voxels with this ground-truth label are not annotated."""
    skeletons: str | None = None
    """Also score the run length along these skeletons: an .swc file or a folder of such files, in
    the unit of the ground truth."""
    overlap_only: bool = False
    """Score only the region that both files cover, instead of refusing an incomplete
    segmentation."""
    voxel_size: list[float] | None = None
    """Overrides the files' metadata, per axis (default: as in the files, else pixels)."""
    unit: str | None = None
    """Unit of voxel_size: nm, um, pixel..."""
    sites: str | None = None
    """For kind=instance: also write the largest splits and merges, with a place to look at, to this
    .csv; `dacapo.view sites=` shows them."""
    json: bool = False
    """Print JSON instead of a table."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_classes(self.classes, "classes")
        if self.sites is not None and Path(self.sites).suffix != ".csv":
            raise InputError(f"sites={self.sites}: the name must end in .csv")


def main() -> None:
    """The command line."""
    run_command(ScoreConfig, score_command)


def score_command(options: ScoreConfig) -> None:
    """Score and print."""
    from dacapo.training.terminal import block_progress

    if options.json:
        print_json(*score(options))
        return
    with block_progress() as progress:
        scores, region = score(options, progress)
    print_scores(scores, region)


def score(
    options: ScoreConfig, progress: Callable[[str, int, int], None] = lambda name, done, num: None
) -> tuple[Scores, str]:
    """The scores, and a description of the region that was scored.

    Args:
        progress: is told how many blocks are done, and their number.
    """
    from dacapo.experiments.tasks.label_groups import LabelGroups
    from dacapo.inference.score_files import score_files

    groups = LabelGroups(options.classes)
    is_instance = options.kind is Kind.instance
    if options.classes and is_instance:
        raise InputError("classes are for kind=semantic")
    if options.sites is not None and not is_instance:
        raise InputError("sites needs kind=instance")
    if options.skeletons is not None and not is_instance:
        raise InputError("skeletons need kind=instance")
    if is_instance:
        evaluator = options.object_evaluator(run_length=options.skeletons is not None)
    else:
        evaluator = options.class_evaluator(options.classes)
    if not is_instance and not options.classes:
        warn("without classes=, all ids but 0 count as one class")
    names = "mask", "ignore_label", "skeletons", "overlap_only", "voxel_size", "unit"
    return score_files(
        options.segmentation,
        options.gt,
        evaluator,
        progress=progress,
        sites=None if options.sites is None else Path(options.sites),
        read_labels=(lambda labels: labels) if is_instance else groups.split,
        **{name: getattr(options, name) for name in names},
    )


def print_scores(scores: Scores, region: str) -> None:
    """One line per criterion; semantic scores have the classes side by side."""
    from dacapo.training.terminal import console, print_table

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
    print_table("Scores", ["criterion", mean, *shown, "better", "meaning"], rows, region)
    console.print()


def print_json(scores: Scores, region: str) -> None:
    """All scores at full precision; null for NaN, with its reason."""
    values = {name: getattr(scores, name) for name in scores.criteria}
    document = {
        "region": region,
        "scores": {name: None if isnan(v) else v for name, v in values.items()},
        "missing": {name: scores.reason(name) for name, v in values.items() if isnan(v)},
    }
    print(json.dumps(document, indent=2))


def _number(value: float) -> str:
    return f"{value:.6g}"


if __name__ == "__main__":
    main()
