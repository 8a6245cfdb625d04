"""Arrays derived from arrays, lazily: only the voxels of a region that is read are computed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from math import ceil, floor, prod
from typing import Any

import numpy as np
from funlib.geometry import Coordinate, Roi

from dacapo.arrays.array import Array, Source, full_index
from dacapo.arrays.units import from_world, is_pixel
from dacapo.errors import InputError

Voxels = np.ndarray[Any, Any]
_SAME = 1e-6
"""Relative difference of voxel sizes that are equal."""
_SAME_PLACE = 1e-2
"""Distance, in voxels, of positions that are equal."""


@dataclass(frozen=True)
class _Lazy:
    """Voxels computed on demand by a function of a block's begin and shape."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    dims: int
    read: Callable[[Coordinate, Coordinate], Voxels]

    def __getitem__(self, index: tuple[Any, ...]) -> Voxels:
        block = full_index(index, self.shape)
        channels, spatial = block[: -self.dims], block[-self.dims :]
        begin = Coordinate(s.start for s in spatial)
        shape = Coordinate(s.stop - s.start for s in spatial)
        chosen: tuple[Any, ...] = (*channels, ...)
        voxels: Voxels = self.read(begin, shape)[chosen]
        return voxels


@dataclass(frozen=True)
class _Flipped:
    """A source with some of its spatial axes reversed."""

    source: Source
    axes: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.source.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.source.dtype

    def __getitem__(self, index: tuple[Any, ...]) -> Voxels:
        block = list(full_index(index, self.shape))
        for axis in self.axes:
            size = self.shape[axis]
            block[axis] = slice(size - block[axis].stop, size - block[axis].start)
        return np.flip(np.asarray(self.source[tuple(block)]), self.axes)


def upright(array: Array) -> Array:
    """The same voxels in an order in which world positions increase along every axis.

    An axis `-x`, along which they decrease, has its positions negated; here it becomes `x`.
    """
    downwards = [at for at, name in enumerate(array.axis_names) if name.startswith("-")]
    if not downwards:
        return array
    begin, end = list(array.roi.begin), list(array.roi.end)
    for at in downwards:
        begin[at] = -end[at]
    return replace(
        flipped(array, downwards),
        offset=Coordinate(begin),
        axis_names=tuple(name.lstrip("-") for name in array.axis_names),
    )


def flipped(array: Array, axes: Sequence[int]) -> Array:
    """The voxels in reverse order along some spatial axes, in the same place."""
    first = len(array.channel_shape)
    return replace(array, source=_Flipped(array.source, tuple(first + axis for axis in axes)))


def sample_blocks(array: Array, edge: int, count: int) -> Iterator[Roi]:
    """Up to `count` blocks of `edge` voxels, spread evenly over an array of any size."""
    numbers = [ceil(n / edge) for n in array.shape]
    total = prod(numbers)
    count = min(count, total)
    for index in (round(i * (total - 1) / max(1, count - 1)) for i in range(count)):
        begin, rest = [], index
        for number in reversed(numbers):
            begin.append(rest % number * edge)
            rest //= number
        start = Coordinate(reversed(begin))
        shape = Coordinate(min(edge, n - b) for n, b in zip(array.shape, start, strict=True))
        yield Roi(array.offset + start * array.voxel_size, shape * array.voxel_size)


def neighbours(labels: Voxels, counted: Voxels) -> tuple[int, int]:
    """The number of pairs of face neighbours that both count, and of those that differ."""
    pairs = differing = 0
    for axis in range(labels.ndim):
        before = tuple(slice(0, -1) if a == axis else slice(None) for a in range(labels.ndim))
        after = tuple(slice(1, None) if a == axis else slice(None) for a in range(labels.ndim))
        both = counted[before] & counted[after]
        pairs += int(both.sum())
        differing += int((both & (labels[before] != labels[after])).sum())
    return pairs, differing


def on_grid_of(array: Array, other: Array) -> Array:
    """The array on the grid of another with which it is used.

    A file that gives no position is taken to lie where a volume of the same extent lies. Voxel
    sizes that differ in the last digits of a float32, as NIfTI holds them, are equal, and so are
    positions that differ by a hundredth of a voxel, as rounded texts do.
    """
    if array.dims != other.dims or is_pixel(array.unit) != is_pixel(other.unit):
        return array
    pairs = list(zip(array.voxel_size, other.voxel_size, strict=True))
    size = Coordinate(b if abs(a - b) <= _SAME * b else a for a, b in pairs)
    array = replace(array, voxel_size=size)
    if not array.is_placed and array.roi.shape == other.roi.shape:
        names = other.axis_names
        if np.argsort(array.stored).tolist() != np.argsort(other.stored).tolist():
            raise InputError(
                f"{array.name} gives no position, and its axes are stored in another order than "
                f"those of {other.name}: write its position into the file, or set axes and offset"
            )
        return replace(array, offset=other.offset, axis_names=names, is_placed=other.is_placed)
    corner = []
    for a, b, step in zip(array.offset, other.offset, other.voxel_size, strict=True):
        whole = b + round((a - b) / step) * step
        corner.append(whole if abs(a - whole) <= _SAME_PLACE * step else a)
    return replace(array, offset=Coordinate(corner))


def lazy(
    like: Array,
    roi: Roi,
    channels: tuple[int, ...],
    dtype: Any,
    read: Callable[[Roi], Voxels],
    voxel_size: Coordinate | None = None,
) -> Array:
    """An array over a region whose voxels are computed by a function of the region to read."""
    size = voxel_size or like.voxel_size
    shape = (*channels, *(roi.shape / size))
    return replace(
        like,
        source=_Lazy(
            shape,
            np.dtype(dtype),
            like.dims,
            lambda begin, shape: read(Roi(roi.offset + begin * size, shape * size)),
        ),
        voxel_size=size,
        offset=roi.offset,
    )


def each(array: Array, change: Callable[[Voxels], Voxels], dtype: Any) -> Array:
    """Apply a voxel-wise function."""
    return lazy(
        array, array.roi, array.channel_shape, dtype,
        lambda roi: change(array.read(roi)).astype(dtype, copy=False),
    )  # fmt: skip


def select(array: Array, channels: Sequence[int]) -> Array:
    """Select channels of an array with one channel axis; only these are read."""
    if len(array.channel_shape) != 1:
        raise InputError(
            f"{array.name}: channels={list(channels)} needs an array with one channel axis, "
            f"but its axes before the spatial ones are {array.channel_shape}"
        )
    num = array.channel_shape[0]
    if not channels or not all(0 <= c < num for c in channels):
        raise InputError(
            f"{array.name}: channels={list(channels)} must lie between 0 and {num - 1}"
        )
    return replace(array, source=_Channels(array.source, tuple(channels)))


@dataclass(frozen=True)
class _Channels:
    """A selection along the first axis of a source."""

    source: Source
    channels: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.channels), *self.source.shape[1:])

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.source.dtype

    def __getitem__(self, index: tuple[Any, ...]) -> Voxels:
        wanted, *inner = full_index(index, self.shape)
        parts = [self.source[(slice(c, c + 1), *inner)] for c in self.channels[wanted]]
        return np.concatenate([np.asarray(p) for p in parts])


def clip(array: Array, low: float, high: float) -> Array:
    """Clip values to [low, high]."""
    dtype = array.dtype
    if dtype.kind in "iu":  # bounds beyond the type's range have no effect
        info = np.iinfo(dtype)
        low, high = max(ceil(low), info.min), min(floor(high), info.max)
    return each(array, lambda v: np.clip(v, low, high), dtype)


def binarize(array: Array, ids: Sequence[int] | None = None) -> Array:
    """1 for the given ids (None: for all ids but 0), else 0."""
    if ids is None:
        return each(array, lambda v: v != 0, np.uint8)
    wanted = np.array(sorted(ids))
    return each(array, lambda v: _is_in(v, wanted), np.uint8)


def valid_mask(array: Array, unknown: Sequence[int]) -> Array:
    """The annotation mask: 0 for the given ids, else 1."""
    ids = np.array(sorted(unknown))
    return each(array, lambda v: ~_is_in(v, ids), np.uint8)


def _is_in(values: Voxels, ids: Voxels) -> Voxels:
    """Exact for ids beyond 2^53, where numpy mixes signed and unsigned integers into floats."""
    found = np.zeros(values.shape, np.bool_)
    for i in ids.tolist():
        found |= values == i
    return found


def relabel(array: Array, new: Mapping[int, int]) -> Array:
    """Replace some ids; all others stay."""
    largest = max([*new.values(), 0])
    dtype = np.promote_types(array.dtype, np.min_scalar_type(largest))
    if dtype.kind not in "iu":
        raise InputError(f"{array.name}: relabel needs integers, but its voxels are {array.dtype}")
    if min([*new.values(), 0]) < 0:
        raise InputError(f"{array.name}: relabel={dict(new)}: ids must not be negative")

    def change(values: Voxels) -> Voxels:
        out = values.astype(dtype)
        for old, i in new.items():
            out[values == old] = i
        return out

    return each(array, change, dtype)


def group(array: Array, groups: Mapping[str, Sequence[int]]) -> Array:
    """Ids 1, 2... for the ids of each group in turn, 0 for all others."""
    ids = [i for members in groups.values() for i in members]
    if len(set(ids)) < len(ids):
        raise InputError(f"{array.name}: groups={dict(groups)} contain an id twice")

    def change(values: Voxels) -> Voxels:
        out = np.zeros(values.shape, np.uint16)
        for number, members in enumerate(groups.values(), start=1):
            out[_is_in(values, np.array(sorted(members)))] = number
        return out

    made = each(array, change, np.uint16)
    return replace(made, class_names=dict(enumerate(groups, start=1)))


def pad(array: Array, size: Coordinate, value: float = 0) -> Array:
    """Add a border of constant voxels around an array.

    Args:
        size: width on each side, in world units, a multiple of the voxel size.
    """
    if any(s % v or s < 0 for s, v in zip(size, array.voxel_size, strict=True)):
        raise InputError(
            f"{array.name}: pad={from_world(size, array.unit)} {array.unit} must be whole voxels "
            f"of {from_world(array.voxel_size, array.unit)}"
        )
    roi = array.roi.grow(size, size)

    def read(wanted: Roi) -> Voxels:
        if value == 0:
            return array.read(wanted, out_of_bounds="zero")
        out = np.full((*array.channel_shape, *(wanted.shape / array.voxel_size)), value,
                      array.dtype)  # fmt: skip
        inner = wanted.intersect(array.roi)
        if not inner.empty:
            begin = (inner.offset - wanted.offset) / array.voxel_size
            place: tuple[Any, ...] = tuple(
                slice(b, b + s) for b, s in zip(begin, inner.shape / array.voxel_size, strict=True)
            )
            out[(..., *place)] = array.read(inner)
        return out

    return lazy(array, roi, array.channel_shape, array.dtype, read)


def constant(like: Array, value: float, dtype: Any = np.uint8) -> Array:
    """An array of one value over the region of another array."""
    kept = np.dtype(dtype)
    if np.array(value).astype(kept) != value:
        kept = np.dtype(np.float32)
    return lazy(like, like.roi, (), kept,
                 lambda roi: np.full(roi.shape / like.voxel_size, value, kept))  # fmt: skip


def concat(arrays: Sequence[Array]) -> Array:
    """Concatenate channels, over the region that all arrays share."""
    roi = _common(arrays)
    dtype = np.result_type(*(a.dtype for a in arrays))
    nums = [int(np.prod(a.channel_shape)) for a in arrays]

    def read(wanted: Roi) -> Voxels:
        shape = wanted.shape / arrays[0].voxel_size
        parts = [a.read(wanted).reshape(n, *shape) for a, n in zip(arrays, nums, strict=True)]
        return np.concatenate(parts).astype(dtype, copy=False)

    return lazy(arrays[0], roi, (sum(nums),), dtype, read)


def add(arrays: Sequence[Array]) -> Array:
    """Add arrays over the region that all share; integers are widened so that they cannot
    overflow."""
    roi = _common(arrays)
    channels = _same_channels(arrays)
    kinds = {a.dtype.kind for a in arrays}
    dtype = np.dtype(np.float32 if "f" in kinds else np.int64)
    if kinds <= set("ub"):
        bits = max(a.dtype.itemsize for a in arrays)
        dtype = np.dtype(f"u{min(2 * bits, 8)}")
    return lazy(
        arrays[0], roi, channels, dtype,
        lambda wanted: reduce(np.add, (a.read(wanted).astype(dtype) for a in arrays)),
    )  # fmt: skip


def union(arrays: Sequence[Array]) -> Array:
    """1 where any array is not 0, over the region that all share."""
    roi = _common(arrays)
    channels = _same_channels(arrays)
    return lazy(
        arrays[0], roi, channels, np.uint8,
        lambda wanted: reduce(
            np.logical_or, (a.read(wanted) != 0 for a in arrays)
        ).astype(np.uint8),
    )  # fmt: skip


def merge_instances(arrays: Sequence[Array]) -> Array:
    """Combine the objects of several arrays without id collisions, over the region that all share.

    Where objects overlap, the first array wins. Object i of array k of n becomes (i - 1) n + k + 1,
    so ids do not depend on the region that is read.
    """
    roi = _common(arrays)
    channels = _same_channels(arrays)
    num = len(arrays)
    for array in arrays:
        if array.dtype.kind not in "iub":
            raise InputError(
                f"{array.name}: merge needs integers, but its voxels are {array.dtype}"
            )

    def read(wanted: Roi) -> Voxels:
        out = np.zeros((*channels, *(wanted.shape / arrays[0].voxel_size)), np.uint64)
        for k, array in enumerate(arrays):
            labels = array.read(wanted)
            if labels.dtype.kind == "i" and labels.size and labels.min() < 0:
                raise InputError(f"{array.name}: label {labels.min()} is negative")
            ids = labels.astype(np.uint64)
            if ids.size and int(ids.max()) > (2**64 - 2 - k) // num + 1:
                raise InputError(
                    f"{array.name}: label {ids.max()} is too large to merge {num} arrays: relabel "
                    f"them first"
                )
            new = (ids - np.uint64(1)) * np.uint64(num) + np.uint64(k + 1)
            np.copyto(out, new, where=(out == 0) & (ids != 0))
        return out

    return lazy(arrays[0], roi, channels, np.uint64, read)


def _check_grids(arrays: Sequence[Array]) -> None:
    first = arrays[0]
    for array in arrays[1:]:
        shift = array.offset - first.offset
        if array.voxel_size != first.voxel_size or any(
            s % v for s, v in zip(shift, first.voxel_size, strict=True)
        ):
            raise InputError(
                f"{array.name} and {first.name} are on different grids: voxels of "
                f"{from_world(array.voxel_size, array.unit)} {array.unit} from "
                f"{from_world(array.offset, array.unit)}, and of "
                f"{from_world(first.voxel_size, first.unit)} {first.unit} from "
                f"{from_world(first.offset, first.unit)}; resample one of them"
            )
        if is_pixel(array.unit) != is_pixel(first.unit):
            raise InputError(f"{array.name} and {first.name} have units {array.unit}, {first.unit}")


def _common(arrays: Sequence[Array]) -> Roi:
    """The region that all arrays share."""
    _check_grids(arrays)
    roi = reduce(Roi.intersect, (a.roi for a in arrays))
    if roi.empty:
        places = "; ".join(f"{a.name} {a.extent()}" for a in arrays)
        raise InputError(f"the arrays to combine do not overlap: {places}")
    return roi


def _same_channels(arrays: Sequence[Array]) -> tuple[int, ...]:
    for array in arrays:
        if array.channel_shape != arrays[0].channel_shape:
            raise InputError(
                f"{array.name} and {arrays[0].name} have channels {array.channel_shape} and "
                f"{arrays[0].channel_shape}: these must be equal"
            )
    return arrays[0].channel_shape
