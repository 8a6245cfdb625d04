"""What a network is trained to predict."""

from __future__ import annotations

from abc import ABC, abstractmethod

from funlib.geometry import Coordinate, Roi
from torch import Tensor

from dacapo.experiments.architectures.architecture import Architecture
from dacapo.experiments.arraytypes import ArrayType
from dacapo.experiments.model import Model


class Predictor(ABC):
    """Makes the model, and the targets and weights to train it with.

    `labels` are (B, *spatial) int32, small numbers that stand for the objects of a crop, 0 where
    there is none or nothing is known; `mask` is (B, *spatial) uint8, 1 where annotated.
    """

    @property
    def num_axes(self) -> int | None:
        """Spatial axes that its targets need; None: any."""
        return None

    @property
    @abstractmethod
    def output_array_type(self) -> ArrayType:
        """What the predicted values mean."""

    @abstractmethod
    def create_model(self, architecture: Architecture) -> Model:
        """The architecture with a head; fresh weights come from torch's global generator."""

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
