"""Synthetic tissue, for trials without data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from dacapo.config import config, ranged
from dacapo.errors import InputError
from dacapo.experiments.datasplits.datasplit_config import DataSplitConfig

if TYPE_CHECKING:
    from dacapo.experiments.datasplits.datasets import Dataset
    from dacapo.experiments.datasplits.datasplit import DataSplit


class SyntheticLabels(Enum):
    """The meaning of the labels of synthetic tissue."""

    cells = "cells"
    classes = "classes"


@config("datasplit")
@dataclass(kw_only=True)
class SyntheticDataSplitConfig(DataSplitConfig):
    """Procedurally generated tissue of dense cells, 2D or 3D."""

    seed: int = ranged(0, low=0)
    """Seed of the tissue; it does not depend on the run's repetition."""
    train_shape: list[int] = ranged([112, 128, 128], low=1)
    """Shape of the training volume, in voxels."""
    validate_shape: list[int] = ranged([64, 112, 112], low=1)
    """Shape of the validation volume, in voxels."""
    voxel_size: list[float] = ranged([8.0, 8.0, 8.0], above=0)
    """Voxel size in nm; unequal for anisotropic tissue."""
    cell_size: float = ranged(18.0, above=2)
    """Typical width of a cell, in voxels of the finest axis."""
    labels: SyntheticLabels = SyntheticLabels.cells
    """cells: ids of cells. classes: 1 in membranes, 2 in the bodies inside of cells."""
    gap: float = ranged(0.0, low=0)
    """Width of the background between cells, in voxels of the finest axis, rounded up to an even
    number; 0: cells touch."""
    body_threshold: float = 1.7
    """Bodies are where a random field of mean 0 and standard deviation 1 exceeds this value."""
    noise: float = ranged(0.08, low=0)
    """Standard deviation of the noise, where raw spans 0 to 1."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for key in ("train_shape", "validate_shape", "voxel_size"):
            value = getattr(self, key)
            if len(value) not in (2, 3):
                raise InputError(f"datasplit.{key}={value}: give 2 or 3 numbers")
            if len(value) != len(self.train_shape):
                raise InputError(f"datasplit.{key}={value} and train_shape differ in axes")

    def build(self) -> DataSplit:
        from dacapo.experiments.datasplits.datasplit import DataSplit

        return DataSplit(
            [self._dataset("synthetic_train", self.train_shape, 0)],
            [self._dataset("synthetic_validate", self.validate_shape, 1)],
        )

    def _dataset(self, name: str, shape: list[int], part: int) -> Dataset:
        from funlib.geometry import Coordinate

        from dacapo.arrays import Array
        from dacapo.arrays.units import to_world
        from dacapo.experiments.datasplits.datasets import Dataset
        from dacapo.ops.synthetic import tissue

        size = to_world(self.voxel_size, "nm", self.voxel_size, "datasplit.voxel_size")
        made = tissue(
            shape,
            self.voxel_size,
            self.cell_size,
            self.noise,
            (self.seed, part),
            self.body_threshold,
        )
        gt = made.classes() if self.labels is SyntheticLabels.classes else made.apart(self.gap)
        zero = Coordinate((0,) * len(shape))
        axes = tuple("zyx"[-len(shape) :])
        return Dataset(
            name,
            Array(made.raw, size, zero, "nm", axes, f"{name} raw"),
            Array(gt, size, zero, "nm", axes, f"{name} labels"),
            intensity_range=(0.0, 255.0),
        )
