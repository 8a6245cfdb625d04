"""Open a volume by the text a person writes: `vol.h5:raw`, `vol.zarr/raw`, `image.ome.zarr`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from funlib.geometry import Coordinate

from dacapo.arrays.array import Array, Source
from dacapo.arrays.units import PIXEL, to_world
from dacapo.errors import InputError

_HDF5_SUFFIXES = (".h5", ".hdf5", ".hdf", ".he5")


@dataclass(kw_only=True)
class Metadata:
    """What a file says of the grid of an array, in the file's own units; None where it is silent.

    `centred`: the offset is the centre of the first voxel, not its corner.
    """

    voxel_size: Sequence[float] | None = None
    offset: Sequence[float] | None = None
    unit: Sequence[str] | None = None
    axis_names: Sequence[str] | None = None
    centred: bool = False


def open_array(
    where: str,
    *,
    voxel_size: Sequence[float] | None = None,
    offset: Sequence[float] | None = None,
    unit: str | None = None,
    key: str = "path",
    pixels_if_silent: bool = False,
) -> Array:
    """Open an array of an HDF5 file or of a zarr store (v2, v3, OME-Zarr) without reading voxels.

    Args:
        where: `file.h5:dataset`, `store.zarr/array`, or an OME-Zarr image (its finest level).
        voxel_size, offset, unit: instead of what the file says; the offset is the corner of the
            first voxel.
        key: the config key that holds `where`, for messages.
        pixels_if_silent: where the file gives no voxel size, count in pixels.

    Raises:
        InputError: no such file or dataset, no voxel size, an unknown unit.
    """
    name = f"{key}={where}"
    try:
        source, found = _open(where, name)
    except InputError:
        raise
    except (TypeError, KeyError, ValueError) as error:
        raise InputError(f"{name}: its metadata cannot be read: {error}") from error
    if pixels_if_silent and found.voxel_size is None and len(source.shape) in (2, 3):
        found = replace(found, voxel_size=[1.0] * len(source.shape), unit=None)
    given = Metadata(voxel_size=voxel_size, offset=offset, unit=None if unit is None else [unit])
    return _on_grid(source, found, given, name)


def _open(where: str, name: str) -> tuple[Source, Metadata]:
    file, colon, inner = where.rpartition(":")
    if colon and Path(file).suffix.lower() in _HDF5_SUFFIXES:
        from dacapo.arrays.hdf5 import open_hdf5

        return open_hdf5(Path(file), inner, name)
    if Path(where).suffix.lower() in _HDF5_SUFFIXES:
        raise InputError(f"{name}: which dataset? Write file.h5:dataset")
    if ".zarr" in where:
        from dacapo.arrays.zarr import open_zarr

        return open_zarr(Path(where), name)
    known = ", ".join(_HDF5_SUFFIXES)
    raise InputError(f"{name}: neither an HDF5 dataset (file{known}:dataset) nor a .zarr path")


def _on_grid(source: Source, found: Metadata, given: Metadata, name: str) -> Array:
    """Join the voxels with their place in the world; what a person gives beats the file."""
    size = given.voxel_size or found.voxel_size
    unit = given.unit or found.unit
    if size is None:
        raise InputError(f"{name}: the file gives no voxel size; set voxel_size and unit")
    dims = len(size)
    if not 2 <= dims <= 3 or len(source.shape) < dims:
        raise InputError(
            f"{name}: a voxel size of {dims} axes, {list(size)}, does not fit the shape "
            f"{source.shape}; 2D and 3D arrays are supported, channels first"
        )
    if min(size) <= 0:
        raise InputError(f"{name}: voxel_size {list(size)} must be positive")
    if 0 in source.shape:
        raise InputError(f"{name}: the array is empty, shape {source.shape}")
    if unit is None:
        unit = [PIXEL]
    units = list(unit) * dims if len(unit) == 1 else list(unit)
    voxel_size = to_world(size, units, size, f"{name}: voxel_size")
    offset = given.offset or found.offset or [0.0] * dims
    if len(offset) != dims:
        raise InputError(
            f"{name}: offset {list(offset)} and voxel_size {list(size)} differ in axes"
        )
    if found.centred and given.offset is None:
        offset = [o - s / 2 for o, s in zip(offset, size, strict=True)]
    corner: Coordinate = to_world(offset, units, size, f"{name}: offset")
    axes = tuple(found.axis_names or "zyx"[-dims:])[-dims:]
    return Array(source, voxel_size, corner, units[0], axes, name)


def attributes_metadata(attributes: dict[str, Any]) -> Metadata:
    """The plain convention: `voxel_size` (or `resolution`), `offset`, `units`, `axis_names`."""
    size = attributes.get("voxel_size", attributes.get("resolution"))
    unit = attributes.get("units", attributes.get("unit"))
    names = attributes.get("axis_names")
    offset = attributes.get("offset")
    return Metadata(
        voxel_size=None if size is None else [float(v) for v in size],
        offset=None if offset is None else [float(v) for v in offset],
        unit=[unit] if isinstance(unit, str) else None if unit is None else [str(u) for u in unit],
        axis_names=None if names is None else [str(n) for n in names],
    )
