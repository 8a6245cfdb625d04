"""Tasks: configs at once, what they build on demand."""

from typing import TYPE_CHECKING

from dacapo.experiments.lazy import lazy_exports
from dacapo.experiments.tasks.affinities import AffinitiesTaskConfig
from dacapo.experiments.tasks.boundary import BoundaryTaskConfig
from dacapo.experiments.tasks.distance import (
    DistanceTaskConfig,
    HotDistanceTaskConfig,
    InnerDistanceTaskConfig,
)
from dacapo.experiments.tasks.one_hot import OneHotTaskConfig
from dacapo.experiments.tasks.pretrained import PretrainedTaskConfig
from dacapo.experiments.tasks.task_config import TaskConfig

if TYPE_CHECKING:
    from dacapo.experiments.tasks.task import Task

__all__ = [
    "AffinitiesTaskConfig",
    "BoundaryTaskConfig",
    "DistanceTaskConfig",
    "HotDistanceTaskConfig",
    "InnerDistanceTaskConfig",
    "OneHotTaskConfig",
    "PretrainedTaskConfig",
    "Task",
    "TaskConfig",
]

__getattr__ = lazy_exports(__name__, {"Task": "task"})
