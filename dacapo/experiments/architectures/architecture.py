"""The backbone of a model."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from funlib.geometry import Coordinate
from torch import Tensor


class Architecture(torch.nn.Module, ABC):
    """A network from raw to feature maps; a predictor adds a head to it.

    All shapes are spatial, in voxels, without batch and channels.
    """

    @property
    @abstractmethod
    def input_shape(self) -> Coordinate:
        """In training."""

    @property
    def eval_shape_increase(self) -> Coordinate:
        """How much larger the input is in prediction than in training."""
        return Coordinate((0,) * self.dims)

    @property
    @abstractmethod
    def num_in_channels(self) -> int: ...

    @property
    @abstractmethod
    def num_out_channels(self) -> int: ...

    @property
    def dims(self) -> int:
        return self.input_shape.dims

    @property
    def period(self) -> Coordinate:
        """Blocks of a prediction must start at multiples of this many input voxels."""
        return Coordinate((1,) * self.dims)

    @property
    def halo(self) -> Coordinate:
        """Input voxels along each side of a block whose prediction must be discarded.

        Zero padding affects the prediction there.
        """
        return Coordinate((0,) * self.dims)

    @property
    def window_dependent(self) -> bool:
        """Whether the prediction of a voxel depends on the whole block, not only on its
        surroundings."""
        return False

    def forward_with_aux(self, x: Tensor) -> list[Tensor]:
        """The feature maps, and maps of coarser levels to train as well, coarsest last; all have
        the same shape.
        """
        return [self(x)]

    def scale(self, input_voxel_size: Coordinate) -> Coordinate:
        """Voxel size of the output."""
        return input_voxel_size

    def compute_output_shape(self, input_shape: Coordinate) -> Coordinate | None:
        """Spatial output shape; None if only a forward pass can tell."""
        return None

    def smallest_input_shape(self, output_shape: Coordinate) -> Coordinate:
        """The smallest input that gives at least this output; that of prediction where unknown."""
        return self.input_shape + self.eval_shape_increase
