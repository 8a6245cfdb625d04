"""An array that knows where its voxels are."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import prod
from typing import Any, Literal, Protocol

import numpy as np
from funlib.geometry import Coordinate, Roi

from dacapo.arrays.units import PIXEL, from_world
from dacapo.errors import InputError
from dacapo.processes.files import format_bytes
from dacapo.processes.memory import memory_size

READ_ERRORS = (OSError, ValueError, RuntimeError, LookupError, EOFError, MemoryError, zlib.error)
"""Exceptions that the libraries raise while reading voxels of a damaged file."""

_ALWAYS_FITS = 2**28
_LAYERS = 64  # of the first spatial axis that are read at once


class Source(Protocol):
    """The storage of the voxels: a numpy array, an HDF5 dataset, a zarr array."""

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
        voxel_size: in world units (pm, or thousandths of a pixel), one per axis.
        offset: corner of the first voxel, in world units.
        unit: the unit in which users read and write the sizes of this volume.
        axis_names: of the spatial axes.
        name: the source of the voxels, for messages.
        class_names: of label ids, where the file gives them.
        is_placed: whether the offset is known; if not, it is 0.
        stored: positions of the spatial axes in the file; empty for an array made here.
    """

    source: Source
    voxel_size: Coordinate
    offset: Coordinate
    unit: str = PIXEL
    axis_names: tuple[str, ...] = ("z", "y", "x")
    name: str = "array"
    class_names: Mapping[int, str] = field(default_factory=dict)
    is_placed: bool = True
    stored: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "axis_names", self.axis_names[-self.dims :])

    @property
    def dims(self) -> int:
        return len(self.voxel_size)

    @cached_property
    def shape(self) -> Coordinate:
        """Spatial shape in voxels."""
        return Coordinate(self.source.shape[-self.dims :])

    @property
    def channel_shape(self) -> tuple[int, ...]:
        return tuple(self.source.shape[: -self.dims])

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.source.dtype

    @cached_property
    def roi(self) -> Roi:
        """The region that the voxels cover, in world units."""
        return Roi(self.offset, self.shape * self.voxel_size)

    @property
    def nbytes(self) -> int:
        return int(np.prod(self.source.shape)) * self.dtype.itemsize

    def read(
        self, roi: Roi, out_of_bounds: Literal["raise", "mirror", "zero"] = "raise"
    ) -> np.ndarray[Any, Any]:
        """The voxels of a region: (channels..., *spatial).

        Args:
            roi: in world units, on this array's grid.
            out_of_bounds: what fills the part of the region outside the array: mirrored voxels (the
                border voxel is not repeated), zeros, or an error.
        """
        begin, shape = self.to_voxels(roi)
        wanted = [(b, b + s) for b, s in zip(begin, shape, strict=True)]
        if out_of_bounds == "mirror":
            index = [_mirrored(b, e, n) for (b, e), n in zip(wanted, self.shape, strict=True)]
            block = [slice(int(i.min()), int(i.max()) + 1) for i in index]
            data = self._voxels(block)
            if all(_is_run(i) for i in index):
                return data
            for axis, (i, b) in enumerate(zip(index, block, strict=True)):
                data = data.take(i - b.start, axis=axis - self.dims)
            return data
        inner = [
            (min(max(b, 0), n), max(min(e, n), 0))
            for (b, e), n in zip(wanted, self.shape, strict=True)
        ]
        if out_of_bounds == "raise" and inner != wanted:
            raise InputError(f"{self.name}: region {roi} leaves the array's {self.roi}")
        inside = all(b < e for b, e in inner)
        if inside and inner == wanted:
            return self._voxels([slice(b, e) for b, e in inner])
        out = np.zeros((*self.channel_shape, *shape), self.dtype)
        if inside:
            place: Any = tuple(
                slice(b - w, e - w) for (b, e), (w, _) in zip(inner, wanted, strict=True)
            )
            out[(..., *place)] = self._voxels([slice(b, e) for b, e in inner])
        return out

    def _voxels(self, block: Sequence[slice]) -> np.ndarray[Any, Any]:
        """The voxels of a block that lies inside the array."""
        shape = (*self.channel_shape, *(b.stop - b.start for b in block))
        check_memory(prod(shape) * self.dtype.itemsize, self.name)
        try:
            data = np.asarray(self.source[(..., *block)])
        except InputError:
            raise
        except READ_ERRORS as error:
            where = " ".join(f"{b.start}:{b.stop}" for b in block)
            raise InputError(f"{self.name}: voxels {where} cannot be read: {error}") from error
        if data.shape != shape:
            raise InputError(f"{self.name}: expected voxels of shape {shape}, got {data.shape}")
        return data

    def to_voxels(self, roi: Roi) -> tuple[Coordinate, Coordinate]:
        """Begin and shape of a region in voxels of this array; an error when it is off the grid."""
        relative = roi.offset - self.offset
        for value, size, step in zip(relative, roi.shape, self.voxel_size, strict=True):
            if value % step or size % step:
                raise InputError(
                    f"{self.name}: the region from {from_world(roi.begin, self.unit)} to "
                    f"{from_world(roi.end, self.unit)} {self.unit} is not aligned with the voxel "
                    f"grid: voxels start at {from_world(self.offset, self.unit)} and are "
                    f"{from_world(self.voxel_size, self.unit)} {self.unit} apart"
                )
        return relative / self.voxel_size, roi.shape / self.voxel_size

    def covering(self, roi: Roi) -> Roi:
        """The smallest region on this array's grid that contains another."""
        relative = Roi(roi.offset - self.offset, roi.shape)
        return relative.snap_to_grid(self.voxel_size, mode="grow") + self.offset

    def crop(self, roi: Roi) -> Array:
        """A view of a part of this array."""
        begin, shape = self.to_voxels(roi)
        if not self.roi.contains(roi):
            raise InputError(f"{self.name}: region {roi} leaves the array's {self.roi}")
        window = tuple(slice(b, b + s) for b, s in zip(begin, shape, strict=True))
        return replace(self, source=_Window(self.source, window), offset=roi.offset)

    def extent(self, roi: Roi | None = None) -> str:
        """The extent of a region, or of the whole array, as text."""
        roi = roi or self.roi
        begin, end = (from_world(c, self.unit) for c in (roi.begin, roi.end))
        return f"{begin} to {end} {self.unit}"

    def in_memory(self) -> Array:
        """The same array with all of its voxels in memory."""
        check_memory(self.nbytes, self.name)
        voxels = np.empty(self.source.shape, self.dtype)
        rest = [slice(0, n) for n in self.shape[1:]]
        for begin in range(
            0, self.shape[0], _LAYERS
        ):  # a remote store returns its parts one by one
            layers = slice(begin, min(begin + _LAYERS, self.shape[0]))
            place: Any = (..., layers, *rest)
            voxels[place] = self._voxels([layers, *rest])
        return replace(self, source=voxels)


def check_memory(size: int, name: str) -> None:
    """Refuse to read more than fits: some libraries end the process instead of raising an error.

    Raises:
        InputError: the machine has less memory than this.
    """
    if size > _ALWAYS_FITS and size > (there := memory_size()):
        raise InputError(
            f"{name}: reading {format_bytes(size)} at once needs more than the "
            f"{format_bytes(there)} of memory that this machine has"
        )


def full_index(index: tuple[Any, ...], shape: Sequence[int]) -> tuple[slice, ...]:
    """Expand an index that begins with an ellipsis to one slice per axis, with begin and end.

    >>> full_index((..., slice(2, 4)), (3, 9))
    (slice(0, 3, None), slice(2, 4, None))
    """
    given = [i for i in index if i is not Ellipsis]
    rest = [slice(0, n) for n in shape[: len(shape) - len(given)]]
    return (*rest, *given)


@dataclass(frozen=True)
class Arranged:
    """A source with its axes reordered; axes that are dropped are fixed at one index.

    Attributes:
        order: for each axis of this array, its position in the source.
        fixed: position in the source -> index.
    """

    source: Source
    order: tuple[int, ...]
    fixed: Mapping[int, int]

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.source.shape[at] for at in self.order)

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.source.dtype

    def __getitem__(self, index: tuple[Any, ...]) -> Any:
        wanted = dict(zip(self.order, full_index(index, self.shape), strict=True))
        chosen = {at: slice(i, i + 1) for at, i in self.fixed.items()}
        block = {**wanted, **chosen}
        data = np.asarray(self.source[tuple(block[at] for at in range(len(block)))])
        return data.transpose(*self.order, *self.fixed).reshape(
            [data.shape[at] for at in self.order]
        )


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
        block = full_index(index, self.shape)
        num = len(block) - len(self.window)
        moved = (
            slice(w.start + b.start, w.start + b.stop)
            for w, b in zip(self.window, block[num:], strict=True)
        )
        return self.source[(*block[:num], *moved)]


def _is_run(index: np.ndarray[Any, Any]) -> bool:
    """Whether the indices are consecutive."""
    return bool(np.all(np.diff(index) == 1))


def _mirrored(begin: int, end: int, size: int) -> np.ndarray[Any, Any]:
    """Indices begin..end folded into 0..size-1: -1 is 1, size is size-2.

    >>> _mirrored(-2, 5, 3).tolist()
    [2, 1, 0, 1, 2, 1, 0]
    """
    period = max(2 * (size - 1), 1)
    index = np.arange(begin, end) % period
    return np.minimum(index, period - index) if size > 1 else index * 0
