"""An array that knows where its voxels are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import numpy as np
from funlib.geometry import Coordinate, Roi

from dacapo.arrays.units import PIXEL, from_world
from dacapo.errors import InputError


class Source(Protocol):
    """What holds the voxels: a numpy array, an HDF5 dataset, a zarr array."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    def __getitem__(self, index: tuple[Any, ...], /) -> Any: ...


@dataclass(frozen=True, eq=False)
class Array:
    """A lazy volume with channels first, its last axes spatial.

    Attributes:
        source: (channels..., *spatial).
        voxel_size: in world units (pm, or thousandths of a pixel), one an axis.
        offset: corner of the first voxel, in world units.
        unit: in which people read and write the sizes of this volume.
        axis_names: of the spatial axes.
        name: where the voxels came from, for messages.
    """

    source: Source
    voxel_size: Coordinate
    offset: Coordinate
    unit: str = PIXEL
    axis_names: tuple[str, ...] = ("z", "y", "x")
    name: str = "array"

    def __post_init__(self) -> None:
        object.__setattr__(self, "axis_names", self.axis_names[-self.dims :])

    @property
    def dims(self) -> int:
        return len(self.voxel_size)

    @property
    def shape(self) -> Coordinate:
        """Spatial shape in voxels."""
        return Coordinate(self.source.shape[-self.dims :])

    @property
    def channel_shape(self) -> tuple[int, ...]:
        return tuple(self.source.shape[: -self.dims])

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.source.dtype

    @property
    def roi(self) -> Roi:
        """The region that has voxels, in world units."""
        return Roi(self.offset, self.shape * self.voxel_size)

    @property
    def nbytes(self) -> int:
        return int(np.prod(self.source.shape)) * self.dtype.itemsize

    def read(
        self, roi: Roi, beyond: Literal["refuse", "mirror", "zero"] = "refuse"
    ) -> np.ndarray[Any, Any]:
        """The voxels of a region: (channels..., *spatial).

        Args:
            roi: in world units, on this array's grid.
            beyond: what stands where the region leaves the array: mirrored voxels (the border
                voxel is not repeated), zeros, or an error.
        """
        begin, shape = self.to_voxels(roi)
        wanted = [(b, b + s) for b, s in zip(begin, shape, strict=True)]
        if beyond == "mirror":
            index = [_mirrored(b, e, n) for (b, e), n in zip(wanted, self.shape, strict=True)]
            block = [slice(int(i.min()), int(i.max()) + 1) for i in index]
            data = np.asarray(self.source[(..., *block)])
            if all(_is_run(i) for i in index):
                return data
            for axis, (i, b) in enumerate(zip(index, block, strict=True)):
                data = data.take(i - b.start, axis=axis - self.dims)
            return data
        inner = [
            (min(max(b, 0), n), max(min(e, n), 0))
            for (b, e), n in zip(wanted, self.shape, strict=True)
        ]
        if beyond == "refuse" and inner != wanted:
            raise InputError(f"{self.name}: region {roi} leaves the array's {self.roi}")
        inside = all(b < e for b, e in inner)
        if inside and inner == wanted:
            return np.asarray(self.source[(..., *(slice(b, e) for b, e in inner))])
        out = np.zeros((*self.channel_shape, *shape), self.dtype)
        if inside:
            place: Any = tuple(
                slice(b - w, e - w) for (b, e), (w, _) in zip(inner, wanted, strict=True)
            )
            out[(..., *place)] = self.source[(..., *(slice(b, e) for b, e in inner))]
        return out

    def to_voxels(self, roi: Roi) -> tuple[Coordinate, Coordinate]:
        """Begin and shape of a region in voxels of this array; an error when it is off the grid."""
        relative = roi.offset - self.offset
        for value, size, step in zip(relative, roi.shape, self.voxel_size, strict=True):
            if value % step or size % step:
                raise InputError(
                    f"{self.name}: the region from {from_world(roi.begin, self.unit)} to "
                    f"{from_world(roi.end, self.unit)} {self.unit} does not fall on voxel borders: "
                    f"they start at {from_world(self.offset, self.unit)} and lie "
                    f"{from_world(self.voxel_size, self.unit)} {self.unit} apart"
                )
        return relative / self.voxel_size, roi.shape / self.voxel_size

    def crop(self, roi: Roi) -> Array:
        """A view of a part of this array."""
        begin, shape = self.to_voxels(roi)
        if not self.roi.contains(roi):
            raise InputError(f"{self.name}: region {roi} leaves the array's {self.roi}")
        window = tuple(slice(b, b + s) for b, s in zip(begin, shape, strict=True))
        return replace(self, source=_Window(self.source, window), offset=roi.offset)

    def extent(self, roi: Roi | None = None) -> str:
        """A region, or all of this array, in words."""
        roi = roi or self.roi
        begin, end = (from_world(c, self.unit) for c in (roi.begin, roi.end))
        return f"{begin} to {end} {self.unit}"

    def in_memory(self) -> Array:
        """The same array with all its voxels read."""
        return replace(self, source=np.asarray(self.source[(...,)]))


@dataclass(frozen=True)
class _Window:
    """A rectangular part of a source's spatial axes."""

    source: Source
    window: tuple[slice, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        channels = self.source.shape[: -len(self.window)]
        return (*channels, *(w.stop - w.start for w in self.window))

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.source.dtype

    def __getitem__(self, index: tuple[Any, ...]) -> Any:
        parts: Sequence[Any] = [i for i in index if i is not Ellipsis] or self.full()
        shifted = tuple(
            slice(w.start + p.start, w.start + p.stop)
            for w, p in zip(self.window, parts, strict=True)
        )
        return self.source[(..., *shifted)]

    def full(self) -> list[slice]:
        return [slice(0, w.stop - w.start) for w in self.window]


def _is_run(index: np.ndarray[Any, Any]) -> bool:
    """Whether indices count up by one."""
    return bool(np.all(np.diff(index) == 1))


def _mirrored(begin: int, end: int, size: int) -> np.ndarray[Any, Any]:
    """Indices begin..end folded into 0..size-1: -1 is 1, size is size-2.

    >>> _mirrored(-2, 5, 3).tolist()
    [2, 1, 0, 1, 2, 1, 0]
    """
    period = max(2 * (size - 1), 1)
    index = np.arange(begin, end) % period
    return np.minimum(index, period - index) if size > 1 else index * 0
