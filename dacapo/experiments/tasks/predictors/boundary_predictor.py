"""The boundary of objects."""

from __future__ import annotations

from collections.abc import Collection

from funlib.geometry import Coordinate, Roi
from torch import Tensor, nn

from dacapo.experiments.arraytypes import ProbabilityArray
from dacapo.experiments.tasks.predictors.predictor import (
    MirroredChannel,
    Predictor,
    by_channel,
    equal_axes,
    grown,
)
from dacapo.ops.distances import distance_to_unknown, signed_distance

_SLACK = 1e-4  # distances are float32


class BoundaryPredictor(Predictor):
    """One channel: whether a voxel of an object is within `width` of a voxel outside the object.

    A voxel with a face neighbour of another label is always boundary, however coarse that axis.

    Args:
        width: in voxels of the finest axis.
        max_class_weight: largest factor by which the rarer of boundary and rest is weighted up.
    """

    def __init__(self, width: float = 1.5, max_class_weight: float = 10.0) -> None:
        self.width = width
        self.max_class_weight = max_class_weight

    @property
    def num_channels(self) -> int:
        return 1

    @property
    def output_array_type(self) -> ProbabilityArray:
        return ProbabilityArray(["boundary"])

    @property
    def activation(self) -> nn.Module:
        return nn.Sigmoid()

    def create_target(self, gt: Tensor, voxel_size: Coordinate | None = None) -> Tensor:
        steps = self._steps(gt, voxel_size)
        distance = by_channel(lambda c: signed_distance(c, steps, self.width + 1), gt[:, None])
        return ((distance > 0) & (distance <= self.width + _SLACK)).float()

    def known(self, gt: Tensor, target: Tensor, mask: Tensor, voxel_size: Coordinate) -> Tensor:
        annotated = (mask != 0)[:, None]
        steps = self._steps(gt, voxel_size)
        unknown = by_channel(lambda c: distance_to_unknown(c, steps), annotated)
        return annotated & ((unknown > self.width + _SLACK) | (gt == 0)[:, None])

    def mirrored(self, axes: Collection[int]) -> list[MirroredChannel | None]:
        return [MirroredChannel(0)]

    def unknown_in(self, shape: Coordinate, voxel_size: Coordinate) -> str:
        finest = min(voxel_size)
        steps = [min(v / finest, self.width) for v in voxel_size]
        if any(s * ((n + 1) // 2) <= self.width for s, n in zip(steps, shape, strict=True)):
            return (
                f"task.width={self.width}: the labels are too small to know what is that close to "
                f"any voxel"
            )
        return ""

    def gt_region_for_roi(self, roi: Roi, voxel_size: Coordinate) -> Roi:
        return grown(roi, (self.width + 1) * min(voxel_size), voxel_size)

    def _steps(self, gt: Tensor, voxel_size: Coordinate | None) -> list[float]:
        """A voxel's edges in units of the finest; a step along a coarse axis counts as `width`."""
        voxel_size = equal_axes(gt, voxel_size)
        return [min(v / min(voxel_size), self.width) for v in voxel_size]
