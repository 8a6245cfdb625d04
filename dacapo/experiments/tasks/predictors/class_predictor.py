"""Classes, mutually exclusive or not."""

from __future__ import annotations

import torch
from funlib.geometry import Coordinate
from torch import Tensor, nn

from dacapo.experiments.arraytypes import ProbabilityArray
from dacapo.experiments.tasks.predictors.predictor import GroupsPredictor, per_class


class ClassPredictor(GroupsPredictor):
    """One channel per class: its probability, independent of the other classes."""

    @property
    def output_array_type(self) -> ProbabilityArray:
        return ProbabilityArray(self.groups.names)

    @property
    def activation(self) -> nn.Module:
        return nn.Sigmoid()

    def create_target(self, gt: Tensor, voxel_size: Coordinate | None = None) -> Tensor:
        return self.groups.members(gt).float()

    def known(self, gt: Tensor, target: Tensor, mask: Tensor, voxel_size: Coordinate) -> Tensor:
        return per_class(mask, gt, self.num_channels)


class OneHotPredictor(GroupsPredictor):
    """Channel 0 is background, followed by one per class; the probabilities add up to 1.

    A voxel in none of the classes that are annotated there may be background or of any class that
    is not annotated. The channels of all of these then have weight 0, and the loss uses the sum of
    their probabilities.
    """

    @property
    def num_channels(self) -> int:
        return len(self.groups.names) + 1

    @property
    def output_array_type(self) -> ProbabilityArray:
        return ProbabilityArray(["background", *self.groups.names])

    @property
    def activation(self) -> nn.Module:
        return nn.Softmax(dim=1)

    def create_target(self, gt: Tensor, voxel_size: Coordinate | None = None) -> Tensor:
        members = self.groups.members(gt)
        return torch.cat([~members.any(1, keepdim=True), members], dim=1).float()

    def known(self, gt: Tensor, target: Tensor, mask: Tensor, voxel_size: Coordinate) -> Tensor:
        members = self.groups.members(gt)
        annotated = per_class(mask, gt, len(self.groups.names))
        found = (members & annotated).any(1, keepdim=True)  # of an annotated class: certain
        background = found | annotated.all(1, keepdim=True)
        return torch.cat([background, annotated | found], dim=1)

    def foreground(self, gt: Tensor, target: Tensor) -> Tensor:
        return target

    def class_weights(self, foreground: Tensor, known: Tensor) -> Tensor:
        """Weight a voxel by its class: n / (classes present * n_class)."""
        certain = (foreground * known).any(1, keepdim=True)  # the voxel's class is known
        spatial = tuple(range(2, foreground.ndim))
        sizes = (foreground * certain).sum(spatial, keepdim=True).double()
        present = (sizes > 0).sum(1, keepdim=True)
        share = sizes.sum(1, keepdim=True) / (present * sizes.clamp_min(1)).clamp_min(1)
        of_class = share.clamp(1 / self.max_class_weight, self.max_class_weight).float()
        voxel = (foreground * of_class).sum(1, keepdim=True)
        return torch.where(certain, voxel, torch.ones_like(voxel)) * known
