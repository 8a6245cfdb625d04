"""Base classes of predictors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from funlib.geometry import Coordinate, Roi
from torch import Tensor, nn

from dacapo.errors import InputError
from dacapo.experiments.architectures.architecture import Architecture
from dacapo.experiments.arraytypes import ArrayType
from dacapo.experiments.model import Model
from dacapo.experiments.tasks.label_groups import LabelGroups
from dacapo.nn.initialize import initialize
from dacapo.nn.weights import load_all, read_weights
from dacapo.ops.weights import balance

Labels = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class MirroredChannel:
    """Where a channel is found in the prediction of a mirrored volume, after mirroring that back.

    Attributes:
        channel: of that prediction.
        shift: from the voxel to the one that has its value, in voxels; empty: the same voxel.
        complement: the value is 1 minus the one found.
    """

    channel: int
    shift: tuple[int, ...] = ()
    complement: bool = False


class Predictor(ABC):
    """Makes the model, and the targets and weights to train it with.

    `gt` is (B, *spatial) int32 or int64, labels after `encode`, 0 for background and unknown
    voxels. `mask` is uint8, nonzero where annotated: (B, *spatial), or for a predictor of K classes
    also (B, K, *spatial), if classes are annotated separately.

    Attributes:
        max_class_weight: largest factor by which the rarer class of a channel is weighted up.
        initial_weights: a file with the initial weights of every model, head included; None:
            weights are newly initialised.
    """

    max_class_weight: float = 1.0
    initial_weights: Path | None = None

    @property
    def num_axes(self) -> int | None:
        """Number of spatial axes that the targets need; None: any."""
        return None

    @property
    def classes(self) -> Sequence[str]:
        """Names of classes that a dataset may annotate separately; empty: labels are one whole."""
        return ()

    @property
    @abstractmethod
    def num_channels(self) -> int: ...

    @property
    def channel_names(self) -> list[str]:
        """Names of the channels, by which the weights of heads are matched."""
        kind = self.output_array_type
        named = getattr(kind, "channels", None) or getattr(kind, "classes", None) or ()
        return list(named) if named else [f"{i}" for i in range(self.num_channels)]

    @property
    @abstractmethod
    def output_array_type(self) -> ArrayType:
        """The meaning of the predicted values."""

    @property
    @abstractmethod
    def activation(self) -> nn.Module:
        """Maps logits, which are trained, to predicted values."""

    def create_model(self, architecture: Architecture) -> Model:
        """The architecture with a head; new weights are drawn from torch's global generator."""
        convolution = nn.Conv2d if architecture.dims == 2 else nn.Conv3d
        head = convolution(architecture.num_out_channels, self.num_channels, 1)
        initialize(head)
        model = Model(architecture, head, eval_activation=self.activation)
        if self.initial_weights is not None:
            weights = read_weights(self.initial_weights, "task.weights").tensors
            load_all(model, weights, f"task.weights={self.initial_weights}")
        return model

    def encode(self, labels: Tensor) -> Tensor:
        """Map label ids of any integer type to int32 or int64 that give the same target."""
        return LabelGroups().encode(labels)

    @abstractmethod
    def create_target(self, gt: Tensor, voxel_size: Coordinate | None = None) -> Tensor:
        """(B, C, *spatial) float32 for labels of the same spatial shape.

        Args:
            voxel_size: of the labels; None: equal along all axes.
        """

    def create_weight(
        self,
        gt: Tensor,
        target: Tensor,
        mask: Tensor,
        voxel_size: Coordinate | None = None,
        region: tuple[slice, ...] | None = None,
    ) -> Tensor:
        """(B, C, *spatial) float32; exactly 0 where the target is unknown.

        Args:
            voxel_size: of the labels; None: equal along all axes.
            region: the part of the spatial axes that is trained, balanced and returned; the rest is
                context. None: all.
        """
        region = region or (slice(None),) * (gt.ndim - 1)
        known = self.known(gt, target, mask, equal_axes(gt, voxel_size))
        foreground = self.foreground(gt, target)
        return self.class_weights(foreground[:, :, *region], known[:, :, *region])

    def create_target_and_weight(
        self,
        gt: Tensor,
        mask: Tensor,
        voxel_size: Coordinate | None = None,
        region: tuple[slice, ...] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Target and weight of the trained region, (B, C, *region) float32 each.

        Both may be computed together where that is faster.
        """
        region = region or (slice(None),) * (gt.ndim - 1)
        target = self.create_target(gt, voxel_size)
        weight = self.create_weight(gt, target, mask, voxel_size, region)
        return target[:, :, *region], weight

    @abstractmethod
    def known(self, gt: Tensor, target: Tensor, mask: Tensor, voxel_size: Coordinate) -> Tensor:
        """(B, C, *spatial), nonzero where the annotation determines the target."""

    def foreground(self, gt: Tensor, target: Tensor) -> Tensor:
        """(B, C, *spatial), 0 or 1: the two classes of each channel that are to be balanced."""
        return target

    def class_weights(self, foreground: Tensor, known: Tensor) -> Tensor:
        """Weights of the trained region, in which both classes of a channel have equal
        influence."""
        return balance(foreground, known, self.max_class_weight)

    def gt_region_for_roi(self, roi: Roi, voxel_size: Coordinate) -> Roi:
        """The region of labels on which the targets of a region depend."""
        return roi

    def mirrored(self, axes: Collection[int]) -> list[MirroredChannel | None]:
        """Where each channel is found in the prediction of a volume that is mirrored along axes;
        None: it was not predicted.

        Raises:
            InputError: this predictor does not say what mirroring does to its channels.
        """
        raise InputError(
            f"mirror=true: {type(self).__name__} does not define `mirrored`, what mirroring does "
            f"to its channels"
        )

    def unknown_in(self, shape: Coordinate, voxel_size: Coordinate) -> str:
        """Which targets are unknown everywhere in labels of this shape, with the key to change.

        Empty if all are known somewhere.
        """
        return ""

    def class_masks(self, labels: Labels) -> list[Labels]:
        """A mask per entry of `classes` of where labels, as stored in a file, belong to it."""
        return [np.zeros(labels.shape, np.bool_) for _ in self.classes]


class GroupsPredictor(Predictor):
    """A predictor of named groups of labels, or of objects if there are no groups.

    Args:
        groups: the classes; without any, there is one: being in an object.
        max_class_weight: largest factor by which the rarer of inside and outside is weighted up.
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

    def encode(self, labels: Tensor) -> Tensor:
        return self.groups.encode(labels)

    def class_masks(self, labels: Labels) -> list[Labels]:
        return self.groups.class_masks(labels)

    def foreground(self, gt: Tensor, target: Tensor) -> Tensor:
        return self.groups.members(gt).float()

    def mirrored(self, axes: Collection[int]) -> list[MirroredChannel | None]:
        return [MirroredChannel(channel) for channel in range(self.num_channels)]


def equal_axes(gt: Tensor, voxel_size: Coordinate | None) -> Coordinate:
    """The voxel size of labels (B, *spatial); ones if it is None."""
    return voxel_size or Coordinate((1,) * (gt.ndim - 1))


def per_class(mask: Tensor, gt: Tensor, num_classes: int) -> Tensor:
    """A mask (B, *spatial) or (B, K, *spatial) as (B, K, *spatial) bool."""
    known = mask != 0
    if mask.ndim == gt.ndim:
        return known[:, None].expand(-1, num_classes, *gt.shape[1:])
    return known


def by_channel(function: Callable[[Labels], Labels], volumes: Tensor) -> Tensor:
    """Apply a function of numpy volumes to each channel of each sample: (B, C, *spatial)."""
    samples = volumes.cpu().numpy()
    found = np.stack([[function(channel) for channel in sample] for sample in samples])
    return torch.from_numpy(found).to(volumes.device)


def grown(roi: Roi, distance: float, voxel_size: Coordinate) -> Roi:
    """Grow a region by at least `distance` (world units) on each side, in whole voxels."""
    margin = Coordinate(-(-int(distance) // v) * v for v in voxel_size)
    return roi.grow(margin, margin)
