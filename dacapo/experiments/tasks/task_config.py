"""What the configs of tasks have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dacapo.config import Config, ranged
from dacapo.errors import InputError

if TYPE_CHECKING:
    from dacapo.experiments.tasks.evaluators import Evaluator
    from dacapo.experiments.tasks.label_groups import LabelGroups
    from dacapo.experiments.tasks.post_processors import MapsPostProcessor
    from dacapo.experiments.tasks.task import Task


@dataclass(kw_only=True)
class TaskConfig(Config, ABC):
    """What to predict, how to make a segmentation of it, and how to score that."""

    criterion: str
    """The score that selects the best iteration and the best parameters."""

    @abstractmethod
    def build(self) -> Task: ...


@dataclass(kw_only=True)
class ObjectScoring(Config):
    """How instance segmentations are scored."""

    ignore_smaller: int = ranged(0, low=0)
    """Ground-ground-truth objects with fewer voxels in the scored region are ignored."""
    iou_thresholds: list[float] = ranged([0.5, 0.75], low=0.5, below=1)
    """Objects match above this intersection over union: F1, precision, recall, panoptic quality.
    Below 0.5, matches would not be one to one."""
    run_length: bool = False
    """Also score how far one can follow the skeletons of a volume (datasplit...skeletons)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.iou_thresholds:
            key = f"{self.config_key()}.iou_thresholds".lstrip(".")
            raise InputError(f"{key} is empty: give at least one, like 0.5")

    def object_evaluator(self) -> Evaluator:
        """Of segments that are ids of objects."""
        from dacapo.experiments.tasks.evaluators import InstanceEvaluator

        return InstanceEvaluator(self.ignore_smaller, self.iou_thresholds, self.run_length)


@dataclass(kw_only=True)
class ClassScoring(Config):
    """How semantic segmentations are scored."""

    tolerance: float | None = ranged(None, low=0)
    """Distance in nm (in pixels where there is no physical size) within which a voxel is not false
    in tolerant scores (default: the longest edge of a voxel)."""
    clip_distance: float | None = ranged(None, low=0)
    """Larger distances count as this one in clipped scores (default: ten such edges)."""

    def class_evaluator(self, groups: LabelGroups) -> Evaluator:
        """Of segments that are classes."""
        from dacapo.experiments.tasks.evaluators import SemanticEvaluator

        return SemanticEvaluator(groups, self.tolerance, self.clip_distance)


@dataclass(kw_only=True)
class ClassesOrObjects(TaskConfig, ObjectScoring, ClassScoring):
    """A task whose labels are classes where they are named, and objects otherwise."""

    classes: dict[str, list[int]] = field(default_factory=dict)
    """Class -> label ids, like {mito: [3, 4, 5], er: [7]}; other ids are background. Empty: labels
    are ids of objects."""

    def label_groups(self) -> LabelGroups:
        """The classes, checked."""
        from dacapo.experiments.tasks.label_groups import LabelGroups

        check_classes(self.classes)
        return LabelGroups(self.classes)

    def evaluator(self, groups: LabelGroups) -> Evaluator:
        """Of objects or of classes."""
        return self.object_evaluator() if groups.are_objects else self.class_evaluator(groups)


def check_classes(classes: dict[str, list[int]], key: str = "task.classes") -> None:
    """Refuse classes without ids, and names that a criterion could not carry."""
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
    """Refuse a post-processor that makes objects of classes or classes of objects."""
    if config.makes_objects == groups.are_objects:
        return
    name = type(config).__name__
    if groups.are_objects:
        raise InputError(
            f"task/post_processor={name.lower()} makes classes, but task.classes is empty, so "
            f"labels are objects: name the classes, or choose task/post_processor={for_objects}"
        )
    raise InputError(
        f"task/post_processor={name.lower()} makes objects, but task.classes names classes: choose "
        f"task/post_processor={for_classes}"
    )
