"""Signed distances to the border of objects or classes."""

from __future__ import annotations

import numpy as np
import torch
from funlib.geometry import Coordinate, Roi
from torch import Tensor, nn

from dacapo.experiments.arraytypes import DistanceArray
from dacapo.experiments.tasks.label_groups import LabelGroups
from dacapo.experiments.tasks.predictors.predictor import (
    Labels,
    Predictor,
    equal_axes,
    grown,
    per_class,
    whole,
)
from dacapo.ops.distances import signed_distance
from dacapo.ops.weights import balance

_LIMIT = 2.0  # in scales: farther away, the tangent has come within 4 % of its end


class DistancePredictor(Predictor):
    """One channel a class: tanh(d / scale) of the distance d to the border, positive inside.

    For objects the border between two that touch counts; distances end at two scales. With
    `inner`, only the inside has a distance, and all else is 0: values lie in [0, 1).

    Args:
        groups: the classes; without any, objects.
        scale: in voxels of the finest axis.
        balance_most: inside or outside are weighed up at most this many times.
        inner: 0 outside.
    """

    def __init__(
        self,
        groups: LabelGroups,
        scale: float = 10.0,
        balance_most: float = 10.0,
        inner: bool = False,
    ) -> None:
        self.groups = groups
        self.scale = scale
        self.balance_most = balance_most
        self.inner = inner

    @property
    def classes(self) -> list[str]:
        return [] if self.groups.are_objects else self.groups.names

    @property
    def num_channels(self) -> int:
        return len(self.groups.names)

    @property
    def output_array_type(self) -> DistanceArray:
        return DistanceArray([f"distance {c}" for c in self.groups.names], limit=1.0)

    @property
    def activation(self) -> nn.Module:
        return nn.Sigmoid() if self.inner else nn.Tanh()

    def encode(self, labels: Labels) -> np.ndarray[tuple[int, ...], np.dtype[np.int32]]:
        return self.groups.encode(labels)

    def create_target(self, gt: Tensor, voxel_size: Coordinate | None = None) -> Tensor:
        everything = torch.ones_like(gt, dtype=torch.bool)[:, None].expand(
            -1, self.num_channels, *gt.shape[1:]
        )
        distance, _ = self._distances(gt, everything, equal_axes(gt, voxel_size))
        return torch.tanh(distance / self._scale(gt, voxel_size))

    def create_weight(
        self,
        gt: Tensor,
        target: Tensor,
        mask: Tensor,
        voxel_size: Coordinate | None = None,
        region: tuple[slice, ...] | None = None,
    ) -> Tensor:
        known = per_class(mask, gt, self.num_channels)
        _, reliable = self._distances(gt, known, equal_axes(gt, voxel_size))
        inside = self.groups.members(gt)
        if self.inner:
            reliable |= known & ~inside
        region = whole(gt, region)
        return balance(inside[:, :, *region].float(), reliable[:, :, *region], self.balance_most)

    def gt_region_for_roi(self, roi: Roi, voxel_size: Coordinate) -> Roi:
        return grown(roi, _LIMIT * self.scale * min(voxel_size), voxel_size)

    def _scale(self, gt: Tensor, voxel_size: Coordinate | None) -> float:
        return float(self.scale * min(equal_axes(gt, voxel_size)))

    def _distances(
        self, gt: Tensor, known: Tensor, voxel_size: Coordinate
    ) -> tuple[Tensor, Tensor]:
        """Distances in world units and where they are known, (B, K, *spatial) each."""
        limit = _LIMIT * self._scale(gt, voxel_size)
        labels = gt[:, None] if self.groups.are_objects else self.groups.members(gt)
        found = [
            [
                signed_distance(channel, where, voxel_size, limit)
                for channel, where in zip(sample, sample_known, strict=True)
            ]
            for sample, sample_known in zip(labels.cpu().numpy(), known.cpu().numpy(), strict=True)
        ]
        distance, reliable = (
            torch.from_numpy(np.stack([[pair[part] for pair in row] for row in found]))
            for part in range(2)
        )
        distance = distance.clamp_min(0) if self.inner else distance
        return distance.to(gt.device), reliable.to(gt.device)
