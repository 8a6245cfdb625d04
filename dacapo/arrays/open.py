"""Open a volume by its path or URL: `vol.h5:raw`, `vol.zarr/raw`, `stack.tif`, s3://..."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from dacapo.arrays.array import Arranged, Array, Source
from dacapo.arrays.formats.ome import Level
from dacapo.arrays.metadata import BAD_METADATA, Metadata, sort_axes
from dacapo.arrays.units import PIXEL, from_world, is_pixel, scale_of, singular, to_world
from dacapo.errors import InputError
from dacapo.processes.files import missing_file

_log = logging.getLogger(__name__)

HDF5_SUFFIXES = (".h5", ".hdf5", ".hdf", ".he5", ".nwb", ".ims", ".mat")
TIFF_SUFFIXES = (".tif", ".tiff", ".btf", ".lsm")
NIFTI_SUFFIXES = (".nii", ".nii.gz")
NRRD_SUFFIXES = (".nrrd", ".nhdr")
_HDF5 = re.compile(rf"(.+?(?:{'|'.join(map(re.escape, HDF5_SUFFIXES))})):(.*)", re.IGNORECASE)
_SAME_SIZE = 2e-5
"""Part of a voxel by which the size in a file may be rounded: 0.02 voxels in a thousand."""
_SAME_PLACE = 1e-4
"""Part of a voxel by which the position in a file may be rounded."""
_ATOM = 300
"""Size of an atom in pm."""
_NEUROGLANCER = ("precomputed://", "zarr://", "zarr2://", "zarr3://", "n5://")

Opened = tuple[Source, Metadata]


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """How voxels are fetched; this never changes their values.

    Attributes:
        timeout: seconds to wait for a remote store.
        cache_mib: size of the cache of decoded chunks, shared by all chunked stores; each HDF5 file
            and each folder of images may use an eighth of it in addition.
    """

    timeout: float = 60.0
    cache_mib: int = 512


def open_array(
    uri: str,
    *,
    voxel_size: Sequence[float] | None = None,
    offset: Sequence[float] | None = None,
    unit: str | None = None,
    axes: str | None = None,
    level: Sequence[float] | None = None,
    time: int | None = None,
    key: str = "path",
    pixels_if_silent: bool = False,
    options: ReadOptions | None = None,
) -> Array:
    """Open an array without reading voxels; its spatial axes are in the order z, y, x.

    Args:
        uri: `file.h5:dataset`; a TIFF, NIfTI or NRRD file; a zarr array, an OME-Zarr image, an N5
            dataset, a precomputed volume or a folder of 2D images. Chunked stores may be behind
            http(s)://, s3:// (with the usual AWS_ variables) or gs://.
        voxel_size, offset, unit: override the file's metadata (z, y, x); the offset is the corner
            of the first voxel.
        axes: one letter per axis of the array as stored, like `tczyx`.
        level: the voxel size of the pyramid level to open (default: the finest).
        time: which time point of an array that has several.
        key: the config key that holds `uri`, for messages.
        pixels_if_silent: use pixels if the file gives no voxel size.

    Raises:
        InputError: the file or dataset does not exist, has no voxel size or an unknown unit, or its
            metadata contradict each other.
    """
    name = f"{key}={uri}"
    choice = _Choice(level, unit, name)
    try:
        source, found = _open(uri, name, choice, options or ReadOptions())
    except InputError:
        raise
    except (*BAD_METADATA, OSError) as error:
        raise InputError(f"{name}: its metadata cannot be read: {error}") from error
    overrides = {"axes": axes, "voxel_size": voxel_size, "offset": offset, "unit": unit}
    if found.problem and any(overrides[key] is None for key in found.cured_by):
        raise InputError(f"{name}: {found.problem}; set {', '.join(found.cured_by)}")
    if axes is not None:
        source, found = _renamed(source, found, axes, name)
    given = Metadata(voxel_size=voxel_size, offset=offset, unit=None if unit is None else [unit])
    array = _on_grid(source, found, given, time, name, pixels_if_silent)
    if level is not None and not choice.was_asked and not choice.fits(array):
        raise InputError(
            f"{name}: level={list(level)} was given, but this is not a pyramid of several levels; "
            f"it has voxels of {from_world(array.voxel_size, array.unit)} {array.unit}"
        )
    return array


class _Choice:
    """Picks the pyramid level of a given voxel size, by default the finest."""

    def __init__(self, level: Sequence[float] | None, unit: str | None, name: str) -> None:
        self.was_asked = False
        self._level, self._unit, self._name = level, unit, name

    def __call__(self, levels: list[Level]) -> Level:
        self.was_asked = True
        chosen = levels[0] if self._level is None else self._matching(levels, self._level)
        chosen.report(self._name)
        return chosen

    def fits(self, array: Array) -> bool:
        """Whether an array has the requested voxel size."""
        scale = scale_of(self._unit or array.unit, self._name)
        size = [s * scale for s in self._level or ()]
        return len(size) == array.dims and all(
            abs(a - b) <= 1e-6 * b for a, b in zip(size, array.voxel_size, strict=True)
        )

    def _matching(self, levels: list[Level], wanted: Sequence[float]) -> Level:
        known = []
        given = Metadata(unit=None if self._unit is None else [self._unit])
        for level in levels:
            array = _on_grid(
                np.zeros((1,) * len(level.metadata.axis_names or wanted)),
                level.metadata, given, 0, self._name, False,
            )  # fmt: skip
            if self.fits(array):
                return level
            unit = self._unit or array.unit
            known.append(f"{from_world(array.voxel_size, unit)} {unit}")
        raise InputError(
            f"{self._name}: no level has voxels of {list(wanted)}; the levels have "
            f"{', '.join(known)}"
        )


def _open(
    uri: str, name: str, pick: Callable[[list[Level]], Level], options: ReadOptions
) -> Opened:
    if not uri:
        raise InputError(f"{name} is empty: give a file or a folder")
    for prefix in _NEUROGLANCER:
        uri = uri.removeprefix(prefix)
    uri = uri.removeprefix("file://")
    lower = uri.lower()
    if parts := _HDF5.match(uri):
        from dacapo.arrays.formats.hdf5 import open_hdf5

        return open_hdf5(Path(parts[1]), parts[2], name, options.cache_mib // 8)
    if Path(uri).suffix.lower() in HDF5_SUFFIXES:
        from dacapo.arrays.formats.hdf5 import list_datasets

        raise InputError(
            f"{name}: no dataset given: write file.h5:dataset; the file has "
            f"{list_datasets(Path(uri), name)}"
        )
    if lower.endswith(TIFF_SUFFIXES) and not Path(uri).is_dir():
        from dacapo.arrays.formats.tiff import open_tiff

        return open_tiff(Path(uri), name, pick)
    if lower.endswith((*NIFTI_SUFFIXES, *NRRD_SUFFIXES)):
        from dacapo.arrays.formats.medical import open_nifti, open_nrrd

        medical = open_nifti if lower.endswith(NIFTI_SUFFIXES) else open_nrrd
        return medical(Path(uri), name)
    from dacapo.arrays.formats.chunked import SCHEMES, open_chunked

    is_remote = uri.startswith(tuple(f"{s}://" for s in SCHEMES))
    if not is_remote and not Path(uri).exists():
        raise InputError(f"{name}: {_missing(Path(uri))}")
    found = open_chunked(uri, name, pick, options.timeout, options.cache_mib)
    if found is not None:
        return found
    if Path(uri).is_dir():
        from dacapo.arrays.formats.images import open_images

        return open_images(Path(uri), name, options.cache_mib // 8)
    if is_remote:
        raise InputError(
            f"{name}: no zarr, N5 or precomputed volume found there (no zarr.json, .zarray, "
            f".zgroup, attributes.json or info)"
        )
    raise InputError(
        f"{name}: unknown format; supported are HDF5 (file.h5:dataset), TIFF, NIfTI, NRRD, and the "
        f"folders of zarr, OME-Zarr, N5 and precomputed volumes and of 2D images"
    )


def _missing(path: Path) -> str:
    """Why a path does not exist; a file in the middle of it may be a container."""
    for parent in path.parents:
        if parent.is_file():
            inner = path.relative_to(parent)
            if parent.suffix.lower() in HDF5_SUFFIXES:
                return f"write {parent}:{inner}, with a colon between the file and the dataset"
            return f"{parent} is a file, not a folder"
    return missing_file(path)


def _renamed(source: Source, found: Metadata, axes: str, name: str) -> Opened:
    """The metadata with renamed axes, to which the sizes in the file no longer apply."""
    if len(axes) != len(source.shape):
        raise InputError(
            f"{name}: axes={axes} names {len(axes)} axes, the array has the shape {source.shape}"
        )
    old = found.axis_names
    spatial = [a for a in axes if a in "zyx"]
    known = [n for n in old or () if n.lstrip("-") in "zyx"]
    if [n.lstrip("-") for n in known] == spatial:
        signed = iter(known)
        return source, replace(found, axis_names=[next(signed) if a in "zyx" else a for a in axes])
    if found.voxel_size is not None and len(found.voxel_size) == len(spatial):
        return source, replace(found, axis_names=list(axes))
    return source, Metadata(axis_names=list(axes), class_names=found.class_names)


def _on_grid(
    source: Source,
    found: Metadata,
    given: Metadata,
    time: int | None,
    name: str,
    pixels_if_silent: bool,
) -> Array:
    """Join voxels and grid; what the user gives takes precedence over the file."""
    size = found.voxel_size or given.voxel_size
    if found.axis_names is None and size is None and len(source.shape) not in (2, 3):
        raise InputError(f"{name}: the file names no axes for the shape {source.shape}; set axes")
    if size is not None and not 2 <= len(size) <= 3:
        raise InputError(
            f"{name}: a voxel size of {len(size)} axes, {list(size)}, does not fit the shape "
            f"{source.shape}; 2D and 3D arrays are supported"
        )
    if size is not None and len(source.shape) < len(size):
        raise InputError(
            f"{name}: a voxel size of {len(size)} axes, {list(size)}, does not fit the shape "
            f"{source.shape}"
        )
    axes = sort_axes(found.axis_names, source.shape, None if size is None else len(size), name)
    if 0 in source.shape:
        raise InputError(f"{name}: the array is empty, shape {source.shape}")
    if source.dtype.kind not in "iufb":
        raise InputError(f"{name}: voxels of type {source.dtype} are not numbers")
    dims = len(axes.spatial)
    found = _sorted(found, axes.order, name)
    size, unit = given.voxel_size or found.voxel_size, given.unit or found.unit
    if size is None and pixels_if_silent:
        size, unit = [1.0] * dims, [PIXEL]
    if size is None:
        raise InputError(f"{name}: the file gives no voxel size; set voxel_size and unit")
    if len(size) != dims:
        raise InputError(
            f"{name}: a voxel size of {len(size)} axes, {list(size)}, does not fit the axes "
            f"{list(axes.names)}"
        )
    if any(s <= 0 for s in size):
        raise InputError(f"{name}: voxel_size {list(size)} must be positive")
    if unit is None and any(s != 1 for s in size):
        _log.warning("%s: a voxel size of %s without a unit; taken as pixels", name, list(size))
    units = list(unit or [PIXEL])
    units = units * dims if len(units) == 1 else units
    if len({is_pixel(u) for u in units}) > 1:
        raise InputError(
            f"{name}: the units {units} mix pixels and lengths; set voxel_size and unit"
        )
    near = 1e-6 if given.voxel_size else _SAME_SIZE
    voxel_size = to_world(size, units, size, f"{name}: voxel_size", near)
    if not is_pixel(units[0]) and max(voxel_size) < _ATOM:
        _log.warning(
            "%s: voxels of %s %s are smaller than atoms; is the unit um?",
            name,
            list(size),
            units[0],
        )
    offset = given.offset or found.offset or [0.0] * dims
    if len(offset) != dims:
        raise InputError(
            f"{name}: offset {list(offset)} and voxel_size {list(size)} differ in axes"
        )
    if found.centred and given.offset is None:
        offset = [o - s / 2 for o, s in zip(offset, size, strict=True)]
    # The half voxel is our own, and may be half a pm.
    near = 1e-6 if given.offset else max(_SAME_PLACE, 0.51 / min(voxel_size))
    corner = to_world(offset, units, size, f"{name}: offset", near)
    return Array(
        _arranged(source, axes.channel, axes.time, axes.spatial, time, name),
        voxel_size, corner, singular(units[0]), axes.names, name, found.class_names,
        found.is_placed or given.offset is not None, axes.spatial,
    )  # fmt: skip


def _sorted(found: Metadata, order: Sequence[int], name: str) -> Metadata:
    """The metadata with its numbers in the order of the sorted axes."""
    parts: dict[str, Any] = {}
    for key in ("voxel_size", "offset", "unit"):
        values = getattr(found, key)
        if values is None or (key == "unit" and len(values) == 1):
            continue
        if len(values) != len(order):
            size = None if found.voxel_size is None else list(found.voxel_size)
            raise InputError(
                f"{name}: {key} {list(values)} and voxel_size {size} differ in axes, of which "
                f"there are {len(order)}"
            )
        parts[key] = [values[i] for i in order]
    return replace(found, **parts)


def _arranged(
    source: Source,
    channel: tuple[int, ...],
    times: tuple[int, ...],
    spatial: tuple[int, ...],
    time: int | None,
    name: str,
) -> Source:
    """Channels, then z, y, x; one time point."""
    fixed = {}
    for at in times:
        num = source.shape[at]
        if time is None and num > 1:
            raise InputError(
                f"{name}: the shape {source.shape} has {num} time points; set time=0 to "
                f"{num - 1}, or set axes if that axis is not time"
            )
        if not 0 <= (time or 0) < num:
            raise InputError(f"{name}: time={time}, but the time points are 0 to {num - 1}")
        fixed[at] = time or 0
    if time and not times:
        raise InputError(f"{name}: time={time}, but the array has no time axis; set axes")
    order = (*channel, *spatial)
    if not fixed and order == tuple(range(len(source.shape))):
        return source
    return Arranged(source, order, fixed)
