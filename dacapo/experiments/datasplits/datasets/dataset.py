"""One annotated volume, checked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from funlib.geometry import Coordinate, Roi

from dacapo.arrays import Array
from dacapo.arrays.units import from_world, is_pixel
from dacapo.errors import InputError
from dacapo.ops.run_length import Skeletons


@dataclass(frozen=True)
class Dataset:
    """Raw with labels, and where they are to be believed.

    Attributes:
        name: unique among the datasets of a split.
        raw: intensities, possibly larger than the labels; channels first.
        gt: object ids, 0 for background.
        mask: nonzero where annotated; None: everywhere.
        intensity_range: raw values that become 0 and 1.
        ignore_label: labels of this id are not annotated; None: there is no such id.
        classes: the only classes that are annotated here; None: all.
        skeletons: traced neurites, in world units.
    """

    name: str
    raw: Array
    gt: Array
    mask: Array | None
    intensity_range: tuple[float, float]
    ignore_label: int | None = None
    classes: Sequence[str] | None = None
    skeletons: Skeletons | None = None

    def __post_init__(self) -> None:
        raw, gt = self.raw, self.gt
        if gt.dtype.kind not in "iub":
            raise InputError(f"{gt.name}: labels must be integers, not {gt.dtype}")
        for array in (gt, self.mask):
            if array is None:
                continue
            if array.dims != raw.dims:
                raise InputError(f"{array.name} has {array.dims} axes, {raw.name} has {raw.dims}")
            if int(np.prod(array.channel_shape)) != 1:
                raise InputError(f"{array.name}: one channel expected, shape {array.source.shape}")
            if not _divides(raw.voxel_size, array.voxel_size):
                raise InputError(
                    f"{array.name}: voxel size {from_world(array.voxel_size, array.unit)} and "
                    f"{from_world(raw.voxel_size, raw.unit)} {raw.unit} of raw: along each axis "
                    f"one must divide the other"
                )
            if is_pixel(array.unit) != is_pixel(raw.unit):
                raise InputError(
                    f"{array.name} is measured in {array.unit}, {raw.name} in {raw.unit}: give "
                    f"voxel_size and unit for both"
                )
            _check_aligned(raw, array)
        if not raw.roi.intersects(gt.roi):
            raise InputError(
                f"{raw.name} and {gt.name} do not overlap: {raw.extent()} and {gt.extent()}"
            )
        if not raw.roi.contains(gt.roi):
            raise InputError(
                f"{gt.name} reaches beyond {raw.name}: {gt.extent()} and {raw.extent()}; give a "
                f"region that both have"
            )
        if self.mask is not None and not self.mask.roi.contains(gt.roi):
            raise InputError(
                f"{self.mask.name} does not cover {gt.name}: {self.mask.extent()} and {gt.extent()}"
            )
        if self.mask is not None and self.mask.voxel_size != gt.voxel_size:
            raise InputError(f"{self.mask.name} and {gt.name} must have one voxel size")

    @property
    def num_channels(self) -> int:
        return int(np.prod(self.raw.channel_shape))

    def read_raw(self, roi: Roi) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Normalised intensities (C, *spatial); beyond the volume's edge they are mirrored."""
        raw = self.raw.read(roi, beyond="mirror")
        low, high = self.intensity_range
        raw = raw.reshape(self.num_channels, *raw.shape[raw.ndim - roi.dims :])
        return (raw.astype(np.float32) - np.float32(low)) * np.float32(1 / (high - low))

    def read_gt(self, roi: Roi) -> np.ndarray[Any, Any]:
        """Labels (*spatial) as they stand in the file; 0 beyond."""
        return as_labels(_spatial(self.gt.read(roi, beyond="zero"), roi.dims))

    def read_mask(self, roi: Roi) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """1 where annotated (*spatial); 0 beyond the labels."""
        known = self._inside(roi)
        if self.mask is not None:
            known &= _spatial(self.mask.read(roi, beyond="zero"), roi.dims) != 0
        if self.ignore_label is not None:
            known &= self.read_gt(roi) != self.ignore_label
        return known.astype(np.uint8)

    def annotates(self, classes: Sequence[str]) -> list[bool]:
        """Which of these classes are annotated here."""
        return [self.classes is None or name in self.classes for name in classes]

    def check_annotated(self, to_score: bool) -> None:
        """Refuse labels that say nothing.

        Args:
            to_score: an object is needed too; to train on, annotated background is enough where a
                mask says that it is annotated.
        """
        for begin, labels in _slabs(self.gt):
            start = list(self.gt.roi.begin)
            start[0] += begin * self.gt.voxel_size[0]
            shape = Coordinate(labels.shape[-self.gt.dims :]) * self.gt.voxel_size
            known = self.read_mask(Roi(start, shape)) != 0
            if self.mask is None or to_score:
                known &= _spatial(labels, self.gt.dims) != 0
            if known.any():
                return
        mask = "" if self.mask is None else f", or {self.mask.name} is"
        raise InputError(
            f"dataset {self.name}: nothing is annotated: {self.gt.name}{mask} 0 everywhere"
        )

    def slabs(self) -> Iterator[np.ndarray[Any, Any]]:
        """All labels, some layers of the first axis at a time."""
        for _, labels in _slabs(self.gt):
            yield as_labels(_spatial(labels, self.gt.dims))

    def _inside(self, roi: Roi) -> np.ndarray[Any, np.dtype[np.bool_]]:
        begin, shape = self.gt.to_voxels(roi)
        inside = np.zeros(shape, np.bool_)
        inside[
            tuple(
                slice(max(0, -b), max(0, min(s, n - b)))
                for b, s, n in zip(begin, shape, self.gt.shape, strict=True)
            )
        ] = True
        return inside


def as_labels(data: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Integers in the byte order of this machine; true and false become 1 and 0."""
    if data.dtype == np.bool_:
        return data.astype(np.uint8)
    return data.astype(data.dtype.newbyteorder("="), copy=False)


def check_finite(raw: Array) -> None:
    """Refuse float intensities that are not finite, naming the first place."""
    if raw.dtype.kind != "f":
        return
    for begin, values in _slabs(raw):
        bad = np.argwhere(~np.isfinite(values))
        if len(bad):
            first = bad[0][-raw.dims :] + np.array([begin] + [0] * (raw.dims - 1))
            raise InputError(
                f"{raw.name}: raw values are NaN or infinite, the first at voxel "
                f"{[int(i) for i in first]}"
            )


def find_range(raw: Array) -> tuple[float, float]:
    """The values that become 0 and 1: the type's range for 8 bits, else what the volume holds."""
    if raw.dtype == np.uint8:
        return 0.0, 255.0
    bounds = [(float(values.min()), float(values.max())) for _, values in _slabs(raw)]
    low, high = min(b[0] for b in bounds), max(b[1] for b in bounds)
    if low == high:
        raise InputError(f"{raw.name}: all raw values are {low}")
    return low, high


def _slabs(array: Array) -> Iterator[tuple[int, np.ndarray[Any, Any]]]:
    """All voxels, 64 layers of the first axis at a time, each with its first layer's index."""
    step = 64 * array.voxel_size[0]
    for start in range(0, array.roi.shape[0], step):
        begin, shape = list(array.roi.begin), list(array.roi.shape)
        begin[0], shape[0] = begin[0] + start, min(step, shape[0] - start)
        yield start // array.voxel_size[0], array.read(Roi(begin, shape))


def _spatial(data: np.ndarray[Any, Any], dims: int) -> np.ndarray[Any, Any]:
    return data.reshape(data.shape[data.ndim - dims :])


def _divides(one: Coordinate, other: Coordinate) -> bool:
    return all(max(a, b) % min(a, b) == 0 for a, b in zip(one, other, strict=True))


def _check_aligned(raw: Array, array: Array) -> None:
    shift = array.offset - raw.offset
    for axis, s, size in zip(raw.axis_names, shift, raw.voxel_size, strict=True):
        if s % size:
            raise InputError(
                f"{array.name} is shifted against {raw.name} by {s / size:.3g} voxels of raw along "
                f"{axis}: the offsets must differ by whole voxels"
            )
