"""Signed distances to the border of objects or classes."""

from __future__ import annotations

import math

import torch
from funlib.geometry import Coordinate, Roi
from torch import Tensor, nn

from dacapo.experiments.arraytypes import DistanceArray
from dacapo.experiments.tasks.label_groups import LabelGroups
from dacapo.experiments.tasks.predictors.predictor import (
    GroupsPredictor,
    by_channel,
    equal_axes,
    per_class,
)
from dacapo.ops.distances import distance_to_unknown, signed_distance

_LIMIT = 2.0  # in scales: beyond, tanh is within 4 % of its limit
_SLACK = 1e-5  # targets are float32


class DistancePredictor(GroupsPredictor):
    """One channel per class: tanh(d / scale) of the distance d to the border, positive inside.

    The border between two touching objects is a border too; distances are cut off at two scales.
    With `inner`, the distance is 0 outside, so values lie in [0, 1).

    Args:
        groups: the classes; without any, objects.
        scale: scale of distances, in voxels of the finest axis.
        max_class_weight: largest factor by which the rarer of inside and outside is weighted up.
        inner: whether outside is 0.
        per_section: distances are measured within each section, along the last two of three axes.
    """

    def __init__(
        self,
        groups: LabelGroups,
        scale: float = 10.0,
        max_class_weight: float = 10.0,
        inner: bool = False,
        per_section: bool = False,
    ) -> None:
        super().__init__(groups, max_class_weight)
        self.scale = scale
        self.inner = inner
        self.per_section = per_section

    @property
    def output_array_type(self) -> DistanceArray:
        return DistanceArray([f"distance {c}" for c in self.groups.names], limit=1.0)

    @property
    def activation(self) -> nn.Module:
        return nn.Sigmoid() if self.inner else nn.Tanh()

    def create_target(self, gt: Tensor, voxel_size: Coordinate | None = None) -> Tensor:
        steps = self._steps(equal_axes(gt, voxel_size))
        labels = gt[:, None] if self.groups.are_objects else self.groups.members(gt)
        distance = by_channel(lambda c: signed_distance(c, steps, _LIMIT), labels)
        target = torch.tanh(distance)
        return target.clamp_min(0) if self.inner else target

    def known(self, gt: Tensor, target: Tensor, mask: Tensor, voxel_size: Coordinate) -> Tensor:
        steps = self._steps(voxel_size)
        annotated = per_class(mask, gt, self.num_channels)
        # A border that is nearer than any unknown voxel is the nearest one for certain.
        reach = torch.tanh(by_channel(lambda c: distance_to_unknown(c, steps), annotated)) - _SLACK
        reliable = (target.abs() < reach) | (reach >= math.tanh(_LIMIT) - 2 * _SLACK)
        if self.inner:
            reliable |= ~self.groups.members(gt)
        return reliable & annotated

    def gt_region_for_roi(self, roi: Roi, voxel_size: Coordinate) -> Roi:
        return roi.grow(*[self._reach(voxel_size) * voxel_size] * 2)

    def unknown_in(self, shape: Coordinate, voxel_size: Coordinate) -> str:
        sides = zip(self._steps(voxel_size), shape, strict=True)
        if any(step * ((size + 1) // 2) < 1 for step, size in sides):
            return (
                f"task.scale={self.scale}: distances of more than one scale are not known "
                f"anywhere; lower it, or measure within sections with task.per_section=true"
            )
        return ""

    def _steps(self, voxel_size: Coordinate) -> list[float]:
        """A voxel's edges in scales; with per_section, sections are beyond reach of each other."""
        across = self.per_section and len(voxel_size) == 3
        finest = min(voxel_size[1:] if across else voxel_size)
        steps = [v / (self.scale * finest) for v in voxel_size]
        return [10 * _LIMIT, *steps[1:]] if across else steps

    def _reach(self, voxel_size: Coordinate) -> Coordinate:
        """The largest distance, in voxels."""
        steps = self._steps(voxel_size)
        return Coordinate(math.ceil(_LIMIT / s) if s < _LIMIT else 0 for s in steps)
