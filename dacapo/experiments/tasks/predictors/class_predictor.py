"""Classes that exclude each other, and classes that do not."""

from __future__ import annotations

import torch
from funlib.geometry import Coordinate
from torch import Tensor, nn

from dacapo.experiments.arraytypes import ProbabilityArray
from dacapo.experiments.tasks.predictors.predictor import GroupsPredictor, per_class


class ClassPredictor(GroupsPredictor):
    """One channel per class: the probability of being in it, whatever the other classes say."""

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
    """Channel 0 is background, then one per class; they exclude each other and add up to 1.

    Where a voxel is in none of the classes that are annotated there, it may be background or of
    any class that is not annotated: then the channels of all of these weigh 0 in a voxel that
    counts, and the loss takes their sum as what is true.
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

    def balance(self, foreground: Tensor, known: Tensor) -> Tensor:
        """A voxel weighs by the class it is of: n / (classes present * n_class)."""
        certain = (foreground * known).any(1, keepdim=True)  # the voxel's class is known
        spatial = tuple(range(2, foreground.ndim))
        sizes = (foreground * certain).sum(spatial, keepdim=True).double()
        present = (sizes > 0).sum(1, keepdim=True)
        share = sizes.sum(1, keepdim=True) / (present * sizes.clamp_min(1)).clamp_min(1)
        of_class = share.clamp(1 / self.max_class_weight, self.max_class_weight).float()
        voxel = (foreground * of_class).sum(1, keepdim=True)
        return torch.where(certain, voxel, torch.ones_like(voxel)) * known
