"""What a network is trained to predict."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from funlib.geometry import Coordinate, Roi
from torch import Tensor, nn

from dacapo.experiments.architectures.architecture import Architecture
from dacapo.experiments.arraytypes import ArrayType
from dacapo.experiments.model import Model
from dacapo.experiments.tasks.label_groups import LabelGroups
from dacapo.nn.initialize import initialize

Labels = np.ndarray[Any, np.dtype[Any]]


class Predictor(ABC):
    """Makes the model, and the targets and weights to train it with.

    `gt` are (B, *spatial) int32, labels that `encode` has made small, 0 where there is none or
    nothing is known. `mask` is uint8, nonzero where annotated: (B, *spatial), or for a predictor
    of K classes also (B, K, *spatial), where each is annotated by itself.
    """

    @property
    def num_axes(self) -> int | None:
        """Spatial axes that its targets need; None: any."""
        return None

    @property
    def classes(self) -> Sequence[str]:
        """Names of classes that a dataset may annotate each by itself; empty: all or nothing."""
        return ()

    @property
    @abstractmethod
    def num_channels(self) -> int: ...

    @property
    def channel_names(self) -> list[str]:
        """What each channel is, so that the weights of a head can be matched."""
        kind = self.output_array_type
        named = getattr(kind, "channels", None) or getattr(kind, "classes", None) or ()
        return list(named) if named else [f"{i}" for i in range(self.num_channels)]

    @property
    @abstractmethod
    def output_array_type(self) -> ArrayType:
        """What the predicted values mean."""

    @property
    @abstractmethod
    def activation(self) -> nn.Module:
        """From what is trained (logits) to what is predicted."""

    def create_model(self, architecture: Architecture) -> Model:
        """The architecture with a head; fresh weights come from torch's global generator."""
        convolution = nn.Conv2d if architecture.dims == 2 else nn.Conv3d
        head = convolution(architecture.num_out_channels, self.num_channels, 1)
        initialize(head)
        return Model(architecture, head, eval_activation=self.activation)

    def encode(self, labels: Labels) -> np.ndarray[Any, np.dtype[np.int32]]:
        """Label ids of any size as small numbers; what matters to the target stays."""
        return LabelGroups().encode(labels)

    @abstractmethod
    def create_target(self, gt: Tensor, voxel_size: Coordinate | None = None) -> Tensor:
        """(B, C, *spatial) float32 for labels of the same spatial shape.

        Args:
            voxel_size: of the labels; None: equal along all axes.
        """

    @abstractmethod
    def create_weight(
        self,
        gt: Tensor,
        target: Tensor,
        mask: Tensor,
        voxel_size: Coordinate | None = None,
        region: tuple[slice, ...] | None = None,
    ) -> Tensor:
        """(B, C, *spatial) float32; exactly 0 where the target is not known.

        Args:
            voxel_size: of the labels; None: equal along all axes.
            region: the part of the spatial axes that is trained, and so balanced and returned; the
                rest is context. None: all.
        """

    def gt_region_for_roi(self, roi: Roi, voxel_size: Coordinate) -> Roi:
        """The labels that the targets of a region depend on."""
        return roi

    def unknown_in(self, shape: Coordinate, voxel_size: Coordinate) -> str:
        """What of a target is known nowhere in labels of this shape, with the key to change.

        Empty where nothing is.
        """
        return ""

    def class_masks(self, labels: Labels) -> list[Labels]:
        """For each of `classes` where these labels, as they stand in a file, are of it."""
        return [np.zeros(labels.shape, np.bool_) for _ in self.classes]


def whole(gt: Tensor, region: tuple[slice, ...] | None) -> tuple[slice, ...]:
    """A region of labels (B, *spatial), all of them where it is None."""
    return region or (slice(None),) * (gt.ndim - 1)


def equal_axes(gt: Tensor, voxel_size: Coordinate | None) -> Coordinate:
    """The voxel size of labels (B, *spatial), ones where it is None."""
    return voxel_size or Coordinate((1,) * (gt.ndim - 1))


def per_class(mask: Tensor, gt: Tensor, num_classes: int) -> Tensor:
    """A mask (B, *spatial) or (B, K, *spatial) as (B, K, *spatial) bool."""
    known = mask != 0
    if mask.ndim == gt.ndim:
        return known[:, None].expand(-1, num_classes, *gt.shape[1:])
    return known


def by_channel(function: Callable[[Labels], Labels], volumes: Tensor) -> Tensor:
    """A function of numpy volumes, of each channel of each sample: (B, C, *spatial)."""
    samples = volumes.cpu().numpy()
    found = np.stack([[function(channel) for channel in sample] for sample in samples])
    return torch.from_numpy(found).to(volumes.device)


def grown(roi: Roi, distance: float, voxel_size: Coordinate) -> Roi:
    """A region with at least `distance` (world units) on each side, in whole voxels."""
    margin = Coordinate(-(-int(distance) // v) * v for v in voxel_size)
    return roi.grow(margin, margin)
