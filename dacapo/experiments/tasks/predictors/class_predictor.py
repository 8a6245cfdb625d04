"""Classes that exclude each other, and classes that do not."""

from __future__ import annotations

import numpy as np
import torch
from funlib.geometry import Coordinate
from torch import Tensor, nn

from dacapo.experiments.arraytypes import ProbabilityArray
from dacapo.experiments.tasks.label_groups import LabelGroups
from dacapo.experiments.tasks.predictors.predictor import Labels, Predictor, per_class, whole
from dacapo.ops.weights import balance


class ClassPredictor(Predictor):
    """One channel a class: the probability of being in it, whatever the other classes say.

    Args:
        groups: the classes; without any, one: being in an object.
        max_class_weight: inside or outside are weighed up at most this many times.
    """

    def __init__(self, groups: LabelGroups, max_class_weight: float = 10.0) -> None:
        self.groups = groups
        self.max_class_weight = max_class_weight

    @property
    def classes(self) -> list[str]:
        return [] if self.groups.are_objects else self.groups.names

    @property
    def num_channels(self) -> int:
        return len(self.groups.names)

    @property
    def output_array_type(self) -> ProbabilityArray:
        return ProbabilityArray(self.groups.names)

    @property
    def activation(self) -> nn.Module:
        return nn.Sigmoid()

    def encode(self, labels: Labels) -> np.ndarray[tuple[int, ...], np.dtype[np.int32]]:
        return self.groups.encode(labels)

    def class_masks(self, labels: Labels) -> list[Labels]:
        return self.groups.class_masks(labels)

    def create_target(self, gt: Tensor, voxel_size: Coordinate | None = None) -> Tensor:
        return self.groups.members(gt).float()

    def create_weight(
        self,
        gt: Tensor,
        target: Tensor,
        mask: Tensor,
        voxel_size: Coordinate | None = None,
        region: tuple[slice, ...] | None = None,
    ) -> Tensor:
        region = whole(gt, region)
        known = per_class(mask, gt, self.num_channels)[:, :, *region]
        return balance(self.groups.members(gt)[:, :, *region].float(), known, self.max_class_weight)


class OneHotPredictor(ClassPredictor):
    """Channel 0 is background, then one a class; they exclude each other and add up to 1.

    Where a voxel is in none of the classes that are annotated there, it may be background or of
    any class that is not: then the channels of all of these weigh 0 in a voxel that counts, and
    the loss takes their sum as what is true.
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

    def create_weight(
        self,
        gt: Tensor,
        target: Tensor,
        mask: Tensor,
        voxel_size: Coordinate | None = None,
        region: tuple[slice, ...] | None = None,
    ) -> Tensor:
        region = whole(gt, region)
        members = self.groups.members(gt)[:, :, *region]
        known = per_class(mask, gt, len(self.groups.names))[:, :, *region]
        found = (members & known).any(1, keepdim=True)  # of an annotated class: certain
        all_known = known.all(1, keepdim=True)
        certain = torch.cat([found | all_known, known | found], dim=1)
        one_hot = target[:, :, *region]
        # A voxel weighs by the class it is of: n / (classes present * n_class).
        sure = (found | all_known).float()
        spatial = tuple(range(2, gt.ndim + 1))
        sizes = (one_hot * sure).sum(spatial, keepdim=True).double()
        present = (sizes > 0).sum(1, keepdim=True)
        share = sizes.sum(1, keepdim=True) / (present * sizes.clamp_min(1)).clamp_min(1)
        of_class = share.clamp(1 / self.max_class_weight, self.max_class_weight).float()
        voxel = (one_hot * of_class).sum(1, keepdim=True)
        voxel = torch.where(sure != 0, voxel, torch.ones_like(voxel))
        return voxel * certain
