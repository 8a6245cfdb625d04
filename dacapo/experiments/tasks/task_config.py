"""Options that tasks share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from dacapo.config import Config, decode, encode, ranged, scores_only, scoring_fields
from dacapo.errors import InputError
from dacapo.experiments.tasks.losses import WeightedLoss

if TYPE_CHECKING:
    from dacapo.experiments.tasks.evaluators import Evaluator
    from dacapo.experiments.tasks.label_groups import LabelGroups
    from dacapo.experiments.tasks.post_processors import MapsPostProcessor
    from dacapo.experiments.tasks.task import Task


@dataclass(kw_only=True)
class TaskConfig(Config, ABC):
    """What to predict, how to segment from it, and how to score the result."""

    criterion: str = scores_only()
    """The score that selects the best iteration and the best parameters."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for option in fields(self):
            value = getattr(self, option.name)
            if isinstance(value, WeightedLoss):
                value.check(f"{self.config_key()}.{option.name}")

    @property
    def num_axes(self) -> int | None:
        """The number of spatial axes that it needs; None: any."""
        return None

    @property
    def label_classes(self) -> dict[str, list[int]]:
        """Class -> label ids; empty if labels are ids of objects."""
        return {}

    def scoring(self) -> dict[str, Any]:
        """The options that decide how weights are scored, as plain data."""
        return {name: encode(getattr(self, name)) for name in scoring_fields(self)}

    def scored_by(self, scoring: Mapping[str, Any]) -> TaskConfig:
        """This task with the options of another's `scoring`.

        Raises:
            InputError: they are not valid.
        """
        known = {k: decode(v, f"task.{k}") for k, v in scoring.items()}
        return replace(self, **{k: v for k, v in known.items() if k in scoring_fields(self)})

    @abstractmethod
    def evaluator(self) -> Evaluator:
        """What scores a segmentation, built without torch."""

    @abstractmethod
    def build(self) -> Task: ...


@dataclass(kw_only=True)
class ObjectScoring(Config):
    """How instance segmentations are scored."""

    ignore_smaller: int = ranged(0, low=0, scoring=True)
    """Ground-truth objects with fewer voxels in the scored region are ignored."""
    iou_thresholds: list[float] = ranged([0.5, 0.75], low=0.5, below=1, scoring=True)
    """Thresholds of intersection over union above which objects match, for F1, precision, recall
    and panoptic quality. Below 0.5, matches would not be one to one."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.iou_thresholds:
            key = f"{self.config_key()}.iou_thresholds".lstrip(".")
            raise InputError(f"{key} is empty: give at least one threshold, like 0.5")

    def object_evaluator(self, run_length: bool) -> Evaluator:
        """The evaluator of segments that are objects; `run_length`: along skeletons, too."""
        from dacapo.experiments.tasks.evaluators import InstanceEvaluator

        return InstanceEvaluator(self.ignore_smaller, self.iou_thresholds, run_length)


@dataclass(kw_only=True)
class ObjectTaskConfig(TaskConfig, ObjectScoring):
    """A task whose segments are, or may be, objects."""

    run_length: bool = scores_only(False)
    """Also score the expected run length along the skeletons of a volume
    (datasplit...skeletons)."""

    def evaluator(self) -> Evaluator:
        return self.object_evaluator(self.run_length)


@dataclass(kw_only=True)
class ClassScoring(Config):
    """How semantic segmentations are scored."""

    tolerance: float | None = ranged(None, low=0, scoring=True)
    """Distance in nm (in pixels for data without a physical size) within which tolerant scores
    accept a voxel (default: the longest edge of a voxel)."""
    clip_distance: float | None = ranged(None, low=0, scoring=True)
    """Upper bound of distances in clipped scores, in the same unit (default: ten such edges)."""

    def class_evaluator(self, classes: Mapping[str, Sequence[int]]) -> Evaluator:
        """The evaluator of segments that are classes."""
        from dacapo.experiments.tasks.evaluators import SemanticEvaluator
        from dacapo.experiments.tasks.label_groups import LabelGroups

        return SemanticEvaluator(LabelGroups(classes), self.tolerance, self.clip_distance)


@dataclass(kw_only=True)
class ClassesOrObjects(ObjectTaskConfig, ClassScoring):
    """A task whose labels are classes if classes are named, and objects otherwise."""

    classes: dict[str, list[int]] = field(default_factory=dict)
    """Class -> label ids, like {mito: [3, 4, 5], er: [7]}; other ids are background. Empty: labels
    are ids of objects."""

    def label_groups(self) -> LabelGroups:
        """The classes, after checks."""
        from dacapo.experiments.tasks.label_groups import LabelGroups

        check_classes(self.classes)
        return LabelGroups(self.classes)

    @property
    def label_classes(self) -> dict[str, list[int]]:
        return self.classes

    def evaluator(self) -> Evaluator:
        if not self.classes:
            return self.object_evaluator(self.run_length)
        return self.class_evaluator(self.classes)


def check_classes(classes: dict[str, list[int]], key: str = "task.classes") -> None:
    """Refuse classes without ids, and names that cannot be part of a criterion's name."""
    for name, ids in classes.items():
        if not ids or 0 in ids:
            raise InputError(
                f"{key}.{name}={ids}: give the label ids of the class; 0 is background"
            )
        if not name.isidentifier() or "__" in name or name.strip("_") != name:
            raise InputError(
                f"{key}: {name!r} becomes part of the names of scores, so give letters, digits and "
                f"single _ between them"
            )


def check_makes(
    config: MapsPostProcessor, groups: LabelGroups, for_objects: str, for_classes: str
) -> None:
    """Refuse a post-processor that yields objects where labels are classes, or vice versa."""
    if config.makes_objects == groups.are_objects:
        return
    name = type(config).__name__
    if groups.are_objects:
        raise InputError(
            f"task/post_processor={name.lower()} yields classes, but task.classes is empty, so "
            f"labels are objects: name the classes, or choose task/post_processor={for_objects}"
        )
    raise InputError(
        f"task/post_processor={name.lower()} yields objects, but task.classes names classes: "
        f"choose task/post_processor={for_classes}"
    )
