"""The affinities task."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dacapo.config import config
from dacapo.errors import InputError
from dacapo.experiments.tasks.task_config import TaskConfig

if TYPE_CHECKING:
    from dacapo.experiments.tasks.task import Task


@config("task")
@dataclass(kw_only=True)
class AffinitiesTaskConfig(TaskConfig):
    """Predict voxel affinities, segment by mutex watershed, score by VOI and adapted Rand error."""

    criterion: str = "voi"
    """The score that selects the best iteration and the best parameters."""
    neighborhood: list[list[int]]
    """Offsets in voxels, one output channel each: short-range ones hold objects together,
    long-range ones keep them apart."""
    lsds: bool = False
    """Learn local shape descriptors beside the affinities (10 more channels in 3D, 6 in 2D)."""
    lsd_sigma: float = 8.0
    """Width of the descriptors' window, in voxels of the finest axis."""
    lsd_weight: float = 1.0
    """Weight of the descriptors in the loss."""
    balance_most: float = 20.0
    """The rarer class of an affinity is weighed up at most this many times (1: no balancing)."""
    bias: list[float] = field(default_factory=lambda: [0.3, 0.5, 0.7])
    """Short-range affinities above this attract, those below repel; all values are tried."""
    long_bias: list[float] = field(default_factory=lambda: [0.3, 0.5, 0.7])
    """The same for long-range affinities."""
    long_stride: int = 1
    """Use long-range affinities at every so many-th voxel along each axis: faster."""
    min_size: list[int] = field(default_factory=lambda: [0])
    """Segments of fewer voxels are given to their nearest neighbour; all values are tried."""
    ignore_smaller: int = 0
    """Truth objects with fewer voxels in the scored region do not count."""

    def __post_init__(self) -> None:
        if not self.neighborhood:
            raise InputError(
                "task.neighborhood is empty: give at least one offset in voxels, like [1, 0, 0]"
            )
        dims = len(self.neighborhood[0])
        for offset in self.neighborhood:
            if len(offset) != dims or dims not in (2, 3) or not any(offset):
                raise InputError(
                    f"task.neighborhood: {offset} is no offset; give 2 or 3 numbers of voxels, the "
                    f"same count for all, not all of them 0"
                )
        for key in ("bias", "long_bias", "min_size"):
            if not getattr(self, key):
                raise InputError(f"task.{key} is empty: give at least one value to try")
            if len(set(getattr(self, key))) < len(getattr(self, key)):
                raise InputError(f"task.{key}={getattr(self, key)} has a value twice")
        for key in ("lsd_sigma", "balance_most"):
            if getattr(self, key) <= 0:
                raise InputError(f"task.{key}={getattr(self, key)} must be positive")
        if self.long_stride < 1:
            raise InputError(f"task.long_stride={self.long_stride} must be at least 1")

    def build(self) -> Task:
        from dacapo.experiments.tasks.evaluators import InstanceEvaluator
        from dacapo.experiments.tasks.losses import AffinitiesLoss
        from dacapo.experiments.tasks.post_processors import MutexWatershedPostProcessor
        from dacapo.experiments.tasks.predictors import AffinitiesPredictor
        from dacapo.experiments.tasks.task import Task

        return Task(
            AffinitiesPredictor(self.neighborhood, self.lsds, self.lsd_sigma, self.balance_most),
            AffinitiesLoss(len(self.neighborhood), self.lsd_weight),
            MutexWatershedPostProcessor(
                self.neighborhood, self.bias, self.long_bias, self.min_size, self.long_stride
            ),
            InstanceEvaluator(self.ignore_smaller),
            self.criterion,
        )
