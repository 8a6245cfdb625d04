"""Options that all architectures share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dacapo.config import Config, ranged
from dacapo.errors import InputError

if TYPE_CHECKING:
    from funlib.geometry import Coordinate

    from dacapo.experiments.architectures.architecture import Architecture


@dataclass(kw_only=True)
class ArchitectureConfig(Config, ABC):
    """The backbone of the model."""

    @property
    def num_axes(self) -> int | None:
        """The number of spatial axes; None if only the network tells."""
        return None

    @abstractmethod
    def build(self) -> Architecture:
        """The network, newly initialised from torch's global generator."""

    def resolved(self) -> ArchitectureConfig:
        """A config of the same network that needs no file."""
        return self


@dataclass(kw_only=True)
class ShapedConfig(ArchitectureConfig):
    """A network whose input shape is an option; its length decides between 2D and 3D."""

    input_shape: list[int] = ranged(low=1)
    """Shape of the network's input in training, in voxels of raw."""
    eval_shape_increase: list[int] | None = ranged(None, low=0)
    """Voxels added to input_shape in prediction: larger blocks waste less on their borders
    (default: none)."""
    fmaps_in: int = ranged(1, low=1)
    """Channels of raw."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dims not in (2, 3):
            raise InputError(
                f"architecture.input_shape={self.input_shape}: give 2 or 3 sizes in voxels"
            )
        self.check_axes("eval_shape_increase", self.increase)

    @property
    def dims(self) -> int:
        return len(self.input_shape)

    @property
    def num_axes(self) -> int:
        return self.dims

    def output_voxel_size(self, input_voxel_size: Coordinate) -> Coordinate | None:
        """The voxel size of the output; None if only the network tells."""
        return None

    @property
    def increase(self) -> list[int]:
        """Voxels added to the input shape in prediction."""
        return self.eval_shape_increase or [0] * self.dims

    def check_axes(self, key: str, *values: list[int] | None) -> None:
        """Refuse lists that do not hold one number per axis of the input."""
        for value in values:
            if value is not None and len(value) != self.dims:
                raise InputError(
                    f"architecture.{key}: {value} must hold {self.dims} numbers, one per axis of "
                    f"input_shape={self.input_shape}"
                )
