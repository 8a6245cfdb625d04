"""Data to train on and data to validate on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dacapo.arrays.units import from_world, is_pixel
from dacapo.errors import InputError
from dacapo.experiments.datasplits.datasets.dataset import Dataset


@dataclass(frozen=True)
class DataSplit:
    """Datasets with distinct names; those of one split lie on grids of one voxel size."""

    train: Sequence[Dataset]
    validate: Sequence[Dataset]

    def __post_init__(self) -> None:
        for part, datasets in (("train", self.train), ("validate", self.validate)):
            if not datasets:
                raise InputError(f"datasplit.{part} is empty: give at least one volume")
            names = [d.name for d in datasets]
            if len(set(names)) < len(names):
                raise InputError(f"datasplit.{part}: names must differ, got {names}")
        first = self.train[0]
        for dataset in [*self.train, *self.validate]:
            if is_pixel(dataset.raw.unit) != is_pixel(first.raw.unit):
                raise InputError(
                    f"{dataset.raw.name} is measured in {dataset.raw.unit}, {first.raw.name} in "
                    f"{first.raw.unit}: give voxel_size and unit"
                )
            for what in ("raw", "gt"):
                ours, theirs = getattr(dataset, what), getattr(first, what)
                if ours.voxel_size != theirs.voxel_size:
                    raise InputError(
                        f"{ours.name}: voxel size {from_world(ours.voxel_size, ours.unit)} "
                        f"{ours.unit} differs from {from_world(theirs.voxel_size, theirs.unit)} "
                        f"{theirs.unit} of {theirs.name}; one model sees one voxel size"
                    )
