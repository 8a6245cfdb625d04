"""The affinities task."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dacapo.config import config, ranged, scores_only
from dacapo.errors import InputError
from dacapo.experiments.tasks.losses import ActivatedLoss, ProbabilityLoss, RegressionLoss
from dacapo.experiments.tasks.post_processors import AffinitiesPostProcessor, MutexWatershed
from dacapo.experiments.tasks.task_config import ObjectTaskConfig

if TYPE_CHECKING:
    from dacapo.experiments.tasks.task import Task


@config("task")
@dataclass(kw_only=True)
class AffinitiesTaskConfig(ObjectTaskConfig):
    """Predict voxel affinities, segment from them, score by VOI and adapted Rand error."""

    criterion: str = scores_only("voi")
    """The score that selects the best iteration and the best parameters."""
    neighborhood: list[list[int]]
    """Offsets in voxels, one per output channel: short-range affinities join voxels, long-range
    ones keep objects apart."""
    post_processor: AffinitiesPostProcessor | None = scores_only(None)
    """How segments are made: task/post_processor=mutex_watershed (default) or agglomeration."""
    loss: ProbabilityLoss = field(default_factory=ProbabilityLoss)
    """The loss of the affinities."""
    lsds: bool = False
    """Also learn local shape descriptors (10 more channels in 3D, 6 in 2D)."""
    lsd_sigma: float = ranged(8.0, above=0)
    """Standard deviation of the descriptors' window, in voxels of the finest axis."""
    lsd_weight: float = ranged(1.0, above=0)
    """Weight of the descriptors in the loss."""
    lsd_loss: RegressionLoss = field(default_factory=RegressionLoss)
    """The loss of the descriptors."""
    max_class_weight: float = ranged(20.0, low=1)
    """Largest factor by which the rarer class of an affinity is weighted up (1: no balancing)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.neighborhood:
            raise InputError(
                "task.neighborhood is empty: give at least one offset in voxels, like [1, 0, 0]"
            )
        dims = self.num_axes
        for offset in self.neighborhood:
            if len(offset) != dims or dims not in (2, 3) or not any(offset):
                raise InputError(
                    f"task.neighborhood: {offset} is not an offset; give 2 or 3 numbers of voxels, "
                    f"as many for each offset, not all of them 0"
                )
        twice = [o for i, o in enumerate(self.neighborhood) if o in self.neighborhood[:i]]
        if twice:
            raise InputError(f"task.neighborhood: {twice[0]} is given twice")
        for offset in self.neighborhood:
            if (opposite := [-o for o in offset]) in self.neighborhood:
                raise InputError(
                    f"task.neighborhood: {offset} and {opposite} are of the same pairs of voxels"
                )
        if not any(sum(map(abs, offset)) == 1 for offset in self.neighborhood):
            raise InputError(
                f"task.neighborhood={self.neighborhood}: no offset is of one voxel along an axis, "
                f"like [1, 0, 0]; only those join voxels to segments"
            )
        self.post_processor = self.post_processor or MutexWatershed()

    @property
    def num_axes(self) -> int:
        return len(self.neighborhood[0])

    def build(self) -> Task:
        from dacapo.experiments.tasks.predictors import AffinitiesPredictor, DescriptorsPredictor
        from dacapo.experiments.tasks.task import Head, Task

        assert self.post_processor is not None
        affinities = AffinitiesPredictor(self.neighborhood, self.max_class_weight)
        heads = {"affinities": Head(affinities, self.loss)}
        if self.lsds:
            lsds = DescriptorsPredictor(affinities.num_axes, self.lsd_sigma)
            loss = ActivatedLoss(self.lsd_loss, lsds.activation)
            heads["lsds"] = Head(lsds, loss, self.lsd_weight)
        return Task.from_heads(
            heads,
            self.post_processor.build(self.neighborhood),
            self.evaluator(),
            self.criterion,
        )
