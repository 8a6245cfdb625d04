"""The affinities task."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dacapo.config import config
from dacapo.errors import InputError
from dacapo.experiments.tasks.post_processors import (
    AffinitiesPostProcessorConfig,
    MutexWatershedConfig,
)
from dacapo.experiments.tasks.task_config import (
    ObjectScoring,
    ProbabilityLossConfig,
    RegressionLossConfig,
    TaskConfig,
    check_positive,
)

if TYPE_CHECKING:
    from dacapo.experiments.tasks.task import Task


@config("task")
@dataclass(kw_only=True)
class AffinitiesTaskConfig(TaskConfig, ObjectScoring):
    """Predict voxel affinities, segment by them, score by VOI and adapted Rand error."""

    criterion: str = "voi"
    """The score that selects the best iteration and the best parameters."""
    neighborhood: list[list[int]]
    """Offsets in voxels, one output channel each: short-range ones hold objects together,
    long-range ones keep them apart."""
    post_processor: AffinitiesPostProcessorConfig | None = None
    """How segments are made: task/post_processor=mutex_watershed (default) or agglomeration."""
    loss: ProbabilityLossConfig = field(default_factory=ProbabilityLossConfig)
    """What training minimises."""
    lsds: bool = False
    """Learn local shape descriptors beside the affinities (10 more channels in 3D, 6 in 2D)."""
    lsd_sigma: float = 8.0
    """Width of the descriptors' window, in voxels of the finest axis."""
    lsd_weight: float = 1.0
    """Weight of the descriptors in the loss."""
    lsd_loss: RegressionLossConfig = field(default_factory=RegressionLossConfig)
    """What the descriptors minimise."""
    max_class_weight: float = 20.0
    """The rarer class of an affinity is weighed up at most this many times (1: no balancing)."""

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
        self.post_processor = self.post_processor or MutexWatershedConfig()
        check_positive(self, "lsd_sigma", "lsd_weight")

    def build(self) -> Task:
        from dacapo.experiments.tasks.predictors import AffinitiesPredictor, DescriptorsPredictor
        from dacapo.experiments.tasks.task import Head, Task

        assert self.post_processor is not None
        affinities = AffinitiesPredictor(self.neighborhood, self.max_class_weight)
        parts = {"affinities": Head(affinities, self.loss.build())}
        if self.lsds:
            lsds = DescriptorsPredictor(affinities.num_axes, self.lsd_sigma)
            loss = self.lsd_loss.build(lsds.activation)
            parts["lsds"] = Head(lsds, loss, self.lsd_weight)
        return Task.from_heads(
            parts,
            self.post_processor.build(self.neighborhood),
            self.object_evaluator(),
            self.criterion,
        )
