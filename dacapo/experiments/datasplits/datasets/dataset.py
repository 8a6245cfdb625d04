"""One annotated volume, checked."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Literal

import numpy as np
from funlib.geometry import Coordinate, Roi

from dacapo.arrays import Array
from dacapo.arrays.units import from_world, is_pixel
from dacapo.arrays.views import sample_blocks
from dacapo.errors import InputError
from dacapo.ops.run_length import Skeletons

Level = float | Sequence[float]
Floats = np.ndarray[Any, np.dtype[np.float32]]
_MAX_RATIO = 100
_DIGESTED = 64
"""Edge of the blocks by which volumes are identified, in voxels."""


@dataclass(frozen=True)
class NormalizedRaw:
    """Raw whose intensities are scaled as networks expect them.

    Attributes:
        raw: channels first.
        intensity_range: raw values that are mapped to 0 and 1, for all channels or per channel.
        out_of_bounds: what fills the part of a region that lies beyond the volume.
    """

    raw: Array
    intensity_range: tuple[Level, Level]
    out_of_bounds: Literal["mirror", "zero"] = "mirror"

    @property
    def num_channels(self) -> int:
        return int(np.prod(self.raw.channel_shape))

    def read_stored(self, roi: Roi) -> np.ndarray[Any, Any]:
        """Intensities (C, *spatial) as stored in the file."""
        raw = self.raw.read(roi, out_of_bounds=self.out_of_bounds)
        return raw.reshape(self.num_channels, *raw.shape[raw.ndim - roi.dims :])

    @property
    def levels(self) -> tuple[Floats, Floats]:
        """What is subtracted from stored intensities, and then multiplies them, (C,) each."""
        low, high = (np.asarray(level, np.float64) for level in self.intensity_range)
        each = (np.broadcast_to(level, (self.num_channels,)) for level in (low, 1 / (high - low)))
        subtracted, factor = (np.ascontiguousarray(level, np.float32) for level in each)
        return subtracted, factor

    def read_raw(self, roi: Roi) -> Floats:
        """Normalised intensities (C, *spatial)."""
        low, factor = (level.reshape(-1, *(1,) * roi.dims) for level in self.levels)
        out: Floats = self.read_stored(roi).astype(np.float32)
        if low.any():
            out -= low
        out *= factor
        return out


@dataclass(frozen=True)
class Dataset:
    """Raw with labels, and a mask of where the labels are annotated.

    Attributes:
        name: unique among the datasets of a split.
        raw: intensities, possibly larger than the labels; channels first.
        gt: object ids, 0 for background.
        mask: nonzero where annotated; None: everywhere.
        weight: factor of the loss at each voxel of the labels, not negative; None: 1.
        sample_points: (N, axes) in world units; each training crop contains one of them. None:
            crops contain any annotated voxel.
        intensity_range: raw values that are mapped to 0 and 1, for all channels or per channel.
        ignore_label: voxels with this label are not annotated; None: all labels are valid.
        classes: the classes that are annotated here; None: all.
        skeletons: traced neurites, in world units.
        sampling_weight: relative frequency of crops from this dataset; None: by the number of
            annotated voxels.
    """

    name: str
    raw: Array
    gt: Array
    mask: Array | None = None
    weight: Array | None = None
    sample_points: np.ndarray[Any, np.dtype[np.int64]] | None = None
    intensity_range: tuple[Level, Level] = field(default=(0.0, 1.0), kw_only=True)
    ignore_label: int | None = field(default=None, kw_only=True)
    classes: Sequence[str] | None = field(default=None, kw_only=True)
    skeletons: Skeletons | None = field(default=None, kw_only=True)
    sampling_weight: float | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        raw, gt = self.raw, self.gt
        if gt.dtype.kind not in "iub":
            raise InputError(f"{gt.name}: labels must be integers, not {gt.dtype}")
        for array in (gt, self.mask, self.weight):
            if array is None:
                continue
            if array.dims != raw.dims:
                raise InputError(f"{array.name} has {array.dims} axes, {raw.name} has {raw.dims}")
            if int(np.prod(array.channel_shape)) != 1:
                raise InputError(f"{array.name}: one channel expected, shape {array.source.shape}")
            if is_pixel(array.unit) != is_pixel(raw.unit):
                raise InputError(
                    f"{array.name} is measured in {array.unit}, {raw.name} in {raw.unit}: give "
                    f"voxel_size and unit for both"
                )
            _check_magnitude(raw, array)
            if not _divides(raw.voxel_size, array.voxel_size):
                raise InputError(
                    f"{array.name}: voxel size {from_world(array.voxel_size, array.unit)} and "
                    f"{from_world(raw.voxel_size, raw.unit)} {raw.unit} of raw: along each axis "
                    f"one must divide the other"
                )
            _check_directions(raw, array)
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
        for array in (self.mask, self.weight):
            if array is not None and not array.roi.contains(gt.roi):
                raise InputError(
                    f"{array.name} does not cover {gt.name}: {array.extent()} and {gt.extent()}"
                )
            if array is not None and array.voxel_size != gt.voxel_size:
                raise InputError(f"{array.name} and {gt.name} must have the same voxel size")
        if self.sample_points is not None:
            self._check_points(self.sample_points)

    def _check_points(self, points: np.ndarray[Any, np.dtype[np.int64]]) -> None:
        begin, end = np.array(self.gt.roi.begin), np.array(self.gt.roi.end)
        outside = ~((points >= begin) & (points < end)).all(axis=1)
        if outside.any():
            first = from_world(Coordinate(points[outside][0].tolist()), self.gt.unit)
            raise InputError(
                f"dataset {self.name}: {int(outside.sum())} of {len(points)} sample_points lie "
                f"outside of {self.gt.name}, {self.gt.extent()}, the first at {first}"
            )

    @property
    def num_channels(self) -> int:
        return int(np.prod(self.raw.channel_shape))

    def read_raw(self, roi: Roi) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Normalised intensities (C, *spatial); beyond the volume's edge they are mirrored."""
        return self.normalized_raw.read_raw(roi)

    @property
    def normalized_raw(self) -> NormalizedRaw:
        """Its intensities, which are mirrored beyond the volume's edge."""
        return NormalizedRaw(self.raw, self.intensity_range)

    def read_gt(self, roi: Roi) -> np.ndarray[Any, Any]:
        """Labels (*spatial) as stored in the file; 0 outside the volume."""
        return as_labels(_spatial(self.gt.read(roi, out_of_bounds="zero"), roi.dims))

    def read_stored_mask(self, roi: Roi) -> np.ndarray[Any, np.dtype[np.bool_]] | None:
        """Where the mask says annotated (*spatial), whatever the labels; None without a mask."""
        if self.mask is None:
            return None
        return np.asarray(_spatial(self.mask.read(roi, out_of_bounds="zero"), roi.dims) != 0)

    def read_mask(self, roi: Roi) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """1 where annotated (*spatial); 0 outside the labels."""
        known = self._inside(roi)
        stored = self.read_stored_mask(roi)
        if stored is not None:
            known &= stored
        if self.ignore_label is not None:
            known &= self.read_gt(roi) != self.ignore_label
        return known.astype(np.uint8)

    def read_weight(self, roi: Roi) -> np.ndarray[Any, np.dtype[np.float32]] | None:
        """Factor of the loss (*spatial), 0 outside the labels; None if the dataset has no
        weights."""
        if self.weight is None:
            return None
        weight = _spatial(self.weight.read(roi, out_of_bounds="zero"), roi.dims).astype(np.float32)
        if not np.isfinite(weight).all() or weight.min() < 0:
            raise InputError(f"{self.weight.name}: weights must be finite and not negative")
        return weight

    @property
    def is_fully_annotated(self) -> bool:
        """Whether there is neither a mask nor an ignore_label: then every voxel is annotated."""
        return self.mask is None and self.ignore_label is None

    def annotates(self, classes: Sequence[str]) -> list[bool]:
        """Which of these classes are annotated here."""
        return [self.classes is None or name in self.classes for name in classes]

    def check_annotated(self, to_score: bool) -> None:
        """Refuse labels without any annotation.

        Args:
            to_score: also require an object. For training, background is enough if a mask says that
                it is annotated.
        """
        for block in self.blocks():
            known = self.read_mask(block) != 0
            if self.mask is None or to_score:
                known &= self.read_gt(block) != 0
            if known.any():
                return
        mask = "" if self.mask is None else f", or {self.mask.name} is"
        raise InputError(
            f"dataset {self.name}: no voxel is annotated: {self.gt.name}{mask} 0 everywhere"
        )

    def check_weight(self) -> None:
        """Refuse weights that are not finite, or 0 wherever labels are annotated."""
        if self.weight is None:
            return
        counts = False
        for block in self.blocks():
            weight = self.read_weight(block)
            assert weight is not None
            counts |= bool((weight[self.read_mask(block) != 0] > 0).any())
        if not counts:
            raise InputError(f"{self.weight.name} is 0 wherever {self.gt.name} is annotated")

    def check_skeletons(self) -> None:
        """Refuse skeletons that lie outside of the labels."""
        assert self.skeletons is not None
        position = self.skeletons.position
        begin, end = np.array(self.gt.roi.begin), np.array(self.gt.roi.end)
        if not ((position >= begin) & (position < end)).all(axis=1).any():
            first = from_world(Coordinate(np.rint(position[0]).astype(int).tolist()), self.gt.unit)
            raise InputError(
                f"dataset {self.name}: no node of its skeletons lies in {self.gt.extent()}, the "
                f"first is at {first} {self.gt.unit}"
            )

    def digest(self) -> str:
        """Identifies raw and labels by their voxels, of large ones those of some blocks, and what
        these mean."""
        found = hashlib.sha256()
        # What a volume lacks leaves its digest as it was.
        meaning = {"classes": self.classes, "ignore_label": self.ignore_label}
        if known := {k: v for k, v in meaning.items() if v is not None}:
            found.update(repr(known).encode())
        if self.skeletons is not None:
            found.update(np.ascontiguousarray(self.skeletons.position).tobytes())
            found.update(np.ascontiguousarray(self.skeletons.edges).tobytes())
        for array in (self.raw, self.gt, self.mask):
            if array is None:
                continue
            found.update(repr((array.shape, tuple(array.voxel_size), tuple(array.offset))).encode())
            for roi in sample_blocks(array, _DIGESTED, 27):
                found.update(np.ascontiguousarray(array.read(roi)).tobytes())
        return found.hexdigest()[:16]

    def blocks(self, edge: int = 128) -> Iterator[Roi]:
        """The labelled region in blocks, the last of each axis cut to size."""
        return blocks(self.gt, edge)

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


def blocks(array: Array, edge: int = 128) -> Iterator[Roi]:
    """An array in blocks of `edge` voxels, the last of each axis cut to size."""
    for start in product(*(range(0, n, edge) for n in array.shape)):
        shape = Coordinate(min(edge, n - s) for s, n in zip(start, array.shape, strict=True))
        yield Roi(array.offset + Coordinate(start) * array.voxel_size, shape * array.voxel_size)


def _spatial(data: np.ndarray[Any, Any], dims: int) -> np.ndarray[Any, Any]:
    return data.reshape(data.shape[data.ndim - dims :])


def _check_magnitude(raw: Array, array: Array) -> None:
    """Refuse voxels whose sizes differ so much that a unit must be wrong."""
    ratios = [a / r for a, r in zip(array.voxel_size, raw.voxel_size, strict=True)]
    if min(ratios) > _MAX_RATIO or max(ratios) < 1 / _MAX_RATIO:
        raise InputError(
            f"{array.name} has voxels of {from_world(array.voxel_size, array.unit)} {array.unit}, "
            f"{raw.name} of {from_world(raw.voxel_size, raw.unit)} {raw.unit}: the unit of one of "
            f"them must be wrong; set voxel_size and unit"
        )


def _divides(one: Coordinate, other: Coordinate) -> bool:
    return all(max(a, b) % min(a, b) == 0 for a, b in zip(one, other, strict=True))


def _check_directions(raw: Array, array: Array) -> None:
    """Refuse raw and labels whose axes run in opposite directions, as far as the files tell."""
    for ours, theirs in zip(array.axis_names, raw.axis_names, strict=True):
        if ours.lstrip("-") == theirs.lstrip("-") and ours != theirs:
            raise InputError(
                f"{array.name} runs along {ours}, {raw.name} along {theirs}: flip one of them, or "
                f"set axes if their voxels are aligned nevertheless"
            )


def _check_aligned(raw: Array, array: Array) -> None:
    shift = array.offset - raw.offset
    for axis, s, size in zip(raw.axis_names, shift, raw.voxel_size, strict=True):
        if s % size:
            raise InputError(
                f"{array.name} is shifted against {raw.name} by {s / size:.3g} voxels of raw along "
                f"{axis}: the offsets must differ by whole voxels"
            )
