"""The rim of objects."""

from __future__ import annotations

import numpy as np
import torch
from funlib.geometry import Coordinate, Roi
from torch import Tensor, nn

from dacapo.experiments.arraytypes import ProbabilityArray
from dacapo.experiments.tasks.predictors.predictor import Predictor, equal_axes, grown, whole
from dacapo.ops.distances import signed_distance
from dacapo.ops.weights import balance

_SLACK = 1e-4  # distances are float32


class BoundaryPredictor(Predictor):
    """One channel: whether a voxel of an object lies within `width` of what is not this object.

    A voxel with a face neighbour of another label is always boundary, however coarse that axis.

    Args:
        width: in voxels of the finest axis.
        balance_most: the rarer side is weighed up at most this many times.
    """

    def __init__(self, width: float = 1.5, balance_most: float = 10.0) -> None:
        self.width = width
        self.balance_most = balance_most

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
        distance, _ = self._distances(gt, torch.ones_like(gt, dtype=torch.bool), voxel_size)
        return ((distance > 0) & (distance <= self.width + _SLACK))[:, None].float()

    def create_weight(
        self,
        gt: Tensor,
        target: Tensor,
        mask: Tensor,
        voxel_size: Coordinate | None = None,
        region: tuple[slice, ...] | None = None,
    ) -> Tensor:
        known = mask != 0
        _, reliable = self._distances(gt, known, voxel_size)
        reliable |= known & (gt == 0)
        region = whole(gt, region)
        return balance(target[:, :, *region], reliable[:, None, *region], self.balance_most)

    def gt_region_for_roi(self, roi: Roi, voxel_size: Coordinate) -> Roi:
        return grown(roi, (self.width + 1) * min(voxel_size), voxel_size)

    def _distances(
        self, gt: Tensor, known: Tensor, voxel_size: Coordinate | None
    ) -> tuple[Tensor, Tensor]:
        """Signed distances in voxels of the finest axis, and where they are known."""
        voxel_size = equal_axes(gt, voxel_size)
        steps = [min(v / min(voxel_size), self.width) for v in voxel_size]
        found = [
            signed_distance(labels, where, steps, self.width + 1)
            for labels, where in zip(gt.cpu().numpy(), known.cpu().numpy(), strict=True)
        ]
        distance, reliable = (
            torch.from_numpy(np.stack(part)).to(gt.device) for part in zip(*found, strict=True)
        )
        return distance, reliable
