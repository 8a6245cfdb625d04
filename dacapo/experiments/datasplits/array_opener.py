"""Builds the arrays that a config names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from funlib.geometry import Coordinate, Roi

from dacapo.arrays import Array, ReadOptions, open_array, views
from dacapo.arrays.resample import resample
from dacapo.arrays.units import from_world, scale_of, to_world
from dacapo.errors import InputError, did_you_mean
from dacapo.experiments import arraytypes
from dacapo.experiments.datasplits.volume_config import ArrayConfig, ArrayKind, RegionConfig

_TYPES: dict[ArrayKind, type[arraytypes.ArrayType]] = {
    ArrayKind.intensities: arraytypes.IntensitiesArray,
    ArrayKind.annotations: arraytypes.AnnotationArray,
    ArrayKind.binary: arraytypes.BinaryArray,
    ArrayKind.mask: arraytypes.MaskArray,
    ArrayKind.distances: arraytypes.DistanceArray,
    ArrayKind.embedding: arraytypes.EmbeddingArray,
    ArrayKind.probabilities: arraytypes.ProbabilityArray,
}
_JOINS: dict[str, Callable[[Sequence[Array]], Array]] = {
    "concat": views.concat,
    "sum": views.add,
    "union": views.union,
    "merge": views.merge_instances,
}


class ArrayOpener:
    """Opens files and builds named arrays, each once.

    Args:
        arrays: name -> recipe of the array.
        grid: voxel_size, offset, unit and level for all files, if given.
        key: of `arrays`, for messages.
    """

    def __init__(
        self,
        arrays: Mapping[str, ArrayConfig],
        grid: Mapping[str, Any],
        options: ReadOptions,
        key: str,
    ) -> None:
        self._arrays, self._grid, self._options, self._key = arrays, dict(grid), options, key
        self._opened: dict[tuple[str, ArrayKind, tuple[float, ...] | None], Array] = {}
        self._resampled: dict[tuple[Array, tuple[float, ...]], Array] = {}
        self._aligned: dict[tuple[Array, Array], Array] = {}
        for name, array in arrays.items():
            array.check(f"{key}.{name}")

    def open(
        self,
        what: str,
        key: str,
        kind: ArrayKind,
        within: tuple[str, ...] = (),
        voxel_size: Sequence[float] | None = None,
    ) -> Array:
        """An array by its name or by its path.

        Args:
            key: the config key that holds `what`, for messages.
            kind: the kind of array that its use implies.
            within: names of the arrays that are under construction.
            voxel_size: overrides that of the file and that of the whole data split.
        """
        own = None if voxel_size is None else tuple(voxel_size)
        found = self._opened.get((what, kind, own))
        if found is None:
            if what in within:
                raise InputError(f"{key}={what}: {' -> '.join([*within, what])} is circular")
            if what in self._arrays:
                if own is not None:
                    raise InputError(f"{key}={what}: set the voxel_size of that array instead")
                found = self._build(what, kind, (*within, what))
            else:
                grid = self._grid if own is None else {**self._grid, "voxel_size": own}
                found = self._open_file(what, key, grid)
            self._opened[what, kind, own] = found
        return found

    def _open_file(self, uri: str, key: str, grid: Mapping[str, Any]) -> Array:
        try:
            return open_array(uri, key=key, options=self._options, **grid)
        except InputError as error:
            if uri.isidentifier() and (close := did_you_mean(uri, self._arrays)):
                raise InputError(f"{error}{close}") from error
            raise

    def on_grid_of(self, array: Array, other: Array) -> Array:
        """See `views.on_grid_of`; the same arrays give the same result, as volumes of one file are
        told by it."""
        return self._aligned.setdefault((array, other), views.on_grid_of(array, other))

    def resampled(
        self, array: Array, voxel_size: Sequence[float], kind: ArrayKind, key: str
    ) -> Array:
        """An array at another voxel size; the same arguments give the same array."""
        done = (array, tuple(voxel_size))
        if done not in self._resampled:
            self._resampled[done] = resampled(array, voxel_size, kind, key)
        return self._resampled[done]

    def _build(self, name: str, kind: ArrayKind, within: tuple[str, ...]) -> Array:
        config, key = self._arrays[name], f"{self._key}.{name}"
        kind = config.kind or kind
        array = self._origin(config, key, kind, within)
        unit = array.unit
        if config.channels is not None:
            array = views.select(array, config.channels)
        if config.region is not None:
            array = in_region(array, config.region, f"{key}.region")
        if config.resample is not None:
            array = resampled(array, config.resample, kind, f"{key}.resample")
        if config.clip is not None:
            array = views.clip(array, config.clip[0], config.clip[1])
        if config.relabel:
            array = views.relabel(array, config.relabel)
        if config.groups:
            array = views.group(array, config.groups)
        if config.ids is not None:
            array = views.binarize(array, config.ids or None)
        if config.ignore_ids is not None:
            array = views.valid_mask(array, config.ignore_ids)
        if config.pad is not None:
            size = to_world(config.pad, unit, from_world(array.voxel_size, unit), f"{key}.pad")
            _check_axes(size, array, f"{key}.pad")
            array = views.pad(array, size, config.pad_value)
        return replace(array, name=f"{key} ({array.name})")

    def _origin(
        self, config: ArrayConfig, key: str, kind: ArrayKind, within: tuple[str, ...]
    ) -> Array:
        if config.constant is not None and config.like is not None:
            like = self.open(config.like, f"{key}.like", kind, within)
            return views.constant(like, config.constant)
        for name, join in _JOINS.items():
            parts = getattr(config, name)
            if parts is not None:
                if len(parts) < 1:
                    raise InputError(f"{key}.{name} is empty: name at least one array or file")
                return join([self.open(p, f"{key}.{name}", kind, within) for p in parts])
        assert config.open is not None
        if config.open in self._arrays:
            return self.open(config.open, f"{key}.open", kind, within)
        own = {k: getattr(config, k) for k in ("voxel_size", "offset", "unit", "level", "time")}
        grid = {**self._grid, **{k: v for k, v in own.items() if v is not None}}
        return open_array(
            config.open, key=f"{key}.open", options=self._options,
            axes=config.axes, **grid,
        )  # fmt: skip


def resampled(array: Array, voxel_size: Sequence[float], kind: ArrayKind, key: str) -> Array:
    """An array at another voxel size, in its unit."""
    size = to_world(voxel_size, array.unit, voxel_size, key)
    _check_axes(size, array, key)
    return resample(array, size, _TYPES[kind].interpolatable)


def in_region(array: Array, region: RegionConfig, key: str) -> Array:
    """Crop an array to the given bounds."""
    scale = scale_of(array.unit, key)
    begin, end = list(array.roi.begin), list(array.roi.end)
    for at, axis in enumerate("zyx", start=-3):
        bounds = getattr(region, axis)
        if bounds is None:
            continue
        if -at > array.dims or len(bounds) != 2 or bounds[0] >= bounds[1]:
            raise InputError(
                f"{key}.{axis}={bounds}: give [begin, end] in {array.unit} along one of the "
                f"{array.dims} axes of {array.name}"
            )
        first, last, step = begin[at], end[at], array.voxel_size[at]
        begin[at], end[at] = to_world(bounds, array.unit, [step / scale] * 2, f"{key}.{axis}")
        for side in (begin, end):
            value = side[at]
            if not first <= value <= last or (value - first) % step:
                nearest = min(max(first + round((value - first) / step) * step, first), last)
                if region.snap:
                    side[at] = nearest
                    continue
                raise InputError(
                    f"{key}.{axis}={bounds}: a region must begin and end on voxel borders inside "
                    f"the volume, {first / scale} to {last / scale} {array.unit} in steps of "
                    f"{step / scale}; nearest to {value / scale} is {nearest / scale}, "
                    f"which {key}.snap=true takes"
                )
    if any(b >= e for b, e in zip(begin, end, strict=True)):
        raise InputError(f"{key}: nothing of {array.name} is inside, {array.extent()}")
    return array.crop(Roi(begin, [e - b for b, e in zip(begin, end, strict=True)]))


def _check_axes(size: Coordinate, array: Array, key: str) -> None:
    if size.dims != array.dims or min(size) < 0:
        raise InputError(
            f"{key}={from_world(size, array.unit)}: give one size for each of the {array.dims} axes"
        )
