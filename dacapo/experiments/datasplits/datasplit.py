"""The data for training, validation and the final test."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from funlib.geometry import Coordinate, Roi

from dacapo.arrays import Array
from dacapo.arrays.units import from_world, is_pixel
from dacapo.errors import InputError
from dacapo.experiments.datasplits.datasets.dataset import Dataset

_PROBE = 16  # edge of the blocks that are compared, in voxels


@dataclass(frozen=True)
class DataSplit:
    """Datasets with distinct names and one voxel size.

    Attributes:
        train, validate: the data of a run.
        test: scored only by the final comparison.
        may_overlap: pairs of dataset names whose labels may overlap across splits.
    """

    train: Sequence[Dataset]
    validate: Sequence[Dataset]
    test: Sequence[Dataset] = ()
    may_overlap: Sequence[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        for part, datasets in self._parts():
            if not datasets and part != "test":
                raise InputError(f"datasplit.{part} is empty: give at least one volume")
            names = [d.name for d in datasets]
            if len(set(names)) < len(names):
                raise InputError(f"datasplit.{part}: names must differ, got {names}")
        first = self.train[0]
        for dataset in self.all:
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
                        f"{theirs.unit} of {theirs.name}; one model works at one voxel size: set "
                        f"resample for this volume, or datasplit.resample for all"
                    )

    @property
    def all(self) -> list[Dataset]:
        """The unit of all datasets."""
        return [*self.train, *self.validate, *self.test]

    def check_apart(self, reach: Coordinate) -> None:
        """Refuse labels of different splits that overlap or are closer than the targets reach.

        Two datasets are of one volume if their raw has the same intensities at the same place,
        whatever their files are called.

        Args:
            reach: how far the target of a voxel depends on labels around it, in world units.
        """
        allowed = [set(pair) for pair in self.may_overlap]
        known = {d.name for _, datasets in self._parts() for d in datasets}
        for pair in self.may_overlap:
            if not set(pair) <= known:
                raise InputError(
                    f"datasplit.may_overlap={'+'.join(pair)}: choose from the volumes "
                    f"{', '.join(sorted(known))}"
                )
        for (part, ours), (other, theirs) in self._pairs():
            near = ours.gt.roi.grow(reach, reach).intersects(theirs.gt.roi)
            if not near or {ours.name, theirs.name} in allowed or not same_place(ours, theirs):
                continue
            overlap = ours.gt.roi.intersects(theirs.gt.roi)
            far = from_world(reach, ours.gt.unit)
            raise InputError(
                f"datasplit.{part}.{ours.name} and datasplit.{other}.{theirs.name} "
                + (
                    "share labels"
                    if overlap
                    else f"are closer than the targets reach, {far} {ours.gt.unit}"
                )
                + f": {ours.gt.extent()} and {theirs.gt.extent()} of the same volume; choose "
                f"regions further apart, or list them in "
                f"datasplit.may_overlap=[{ours.name}+{theirs.name}]"
            )

    def shared_context(self, context: Coordinate) -> list[str]:
        """One line per pair of datasets of different splits whose raw context overlaps.

        Args:
            context: how far the network sees beyond the labels, in world units.
        """
        lines = []
        for (part, ours), (other, theirs) in self._pairs():
            seen = [d.gt.roi.grow(context, context).intersect(d.raw.roi) for d in (ours, theirs)]
            common = seen[0].intersect(seen[1])
            if not common.empty and same_place(ours, theirs):
                lines.append(
                    f"{part}.{ours.name} and {other}.{theirs.name} see the same raw as context, "
                    f"but share no label: {ours.raw.extent(common)}"
                )
        return lines

    def _parts(self) -> list[tuple[str, Sequence[Dataset]]]:
        return [("train", self.train), ("validate", self.validate), ("test", self.test)]

    def _pairs(self) -> Iterator[tuple[tuple[str, Dataset], tuple[str, Dataset]]]:
        """All pairs of datasets of different splits."""
        parts = self._parts()
        for number, (part, datasets) in enumerate(parts):
            for other, others in parts[number + 1 :]:
                for ours in datasets:
                    for theirs in others:
                        yield (part, ours), (other, theirs)


def same_place(ours: Dataset, theirs: Dataset) -> bool:
    """Whether two datasets are of one volume, that is, have equal raw where they overlap."""
    one, other = ours.raw, theirs.raw
    if one.source is other.source:
        return True
    if one.voxel_size != other.voxel_size or one.channel_shape != other.channel_shape:
        return False
    common = one.roi.intersect(other.roi)
    shift = other.offset - one.offset
    if common.empty or any(s % v for s, v in zip(shift, one.voxel_size, strict=True)):
        return False
    return _equal_in(one, other, common)


def _equal_in(one: Array, other: Array, common: Roi) -> bool:
    """Whether blocks along the diagonal of a region are equal, and not constant."""
    voxel_size = one.voxel_size
    size = Coordinate(min(_PROBE, n) for n in common.shape / voxel_size) * voxel_size
    differs_inside = False
    for share in (0.1, 0.3, 0.5, 0.7, 0.9):
        room = (common.shape - size) / voxel_size
        begin = common.offset + Coordinate(int(share * r) for r in room) * voxel_size
        block = Roi(begin, size)
        ours, theirs = one.read(block), other.read(block)
        if not np.array_equal(ours, theirs):
            return False
        differs_inside |= bool((ours != ours.flat[0]).any())
    return differs_inside
