"""NIfTI and NRRD volumes. Voxels keep the order of the file.

Axes are named by the direction of the world in which they run, so that they may be in any order.
An axis along which world positions decrease is called `-x`. Its world coordinates are negated here,
so volumes that are used together must agree in the direction of their axes.
"""

from __future__ import annotations

import importlib
import logging
import zlib
from collections.abc import Mapping, Sequence
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dacapo.arrays.metadata import Metadata
from dacapo.errors import InputError
from dacapo.processes.files import missing_file

if TYPE_CHECKING:
    from dacapo.arrays.array import Source

_log = logging.getLogger(__name__)
_MAX_TILT = 1e-3
"""Rotation in radians (0.06 degrees) that is neglected: a tenth of a voxel in a hundred."""
_UNITS = {"mm": "mm", "micron": "um", "meter": "m"}


def open_nifti(path: Path, name: str) -> tuple[Source, Metadata]:
    """Axes x, y, z, then time and channels."""
    nibabel = _library("nibabel", name)
    _check_file(path, name)
    try:
        image = nibabel.load(path)
        voxels = image.dataobj
        affine = np.asarray(image.affine, float)
        unit = _UNITS.get(image.header.get_xyzt_units()[0])
        sizes = image.header.get_zooms()
    except _nifti_errors(nibabel) as error:
        raise InputError(f"{name}: not a readable NIfTI file: {error}") from error
    if unit is None and any(size != 1 for size in sizes[:3]):
        _log.warning("%s: names no unit; taken to be mm, as NIfTI's programs do", name)
        unit = "mm"
    names = ["x", "y", "z", "t", "c", "c2^", "c3^"][: len(voxels.shape)]
    num = min(len(voxels.shape), 3)
    metadata = Metadata(unit=None if unit is None else [unit], axis_names=names)
    metadata.is_placed = bool(image.header["qform_code"] or image.header["sform_code"])
    if not metadata.is_placed:
        metadata.voxel_size = [float(size) for size in image.header.get_zooms()[:num]]
        return voxels, metadata
    _set_grid(metadata, affine[:3, :num].T, affine[:3, 3], range(num))
    return voxels, metadata


def open_nrrd(path: Path, name: str) -> tuple[Source, Metadata]:
    """Axes by the `kinds` of the header; the spatial ones are x, y, z."""
    nrrd = _library("nrrd", name)
    _check_file(path, name)
    try:
        voxels, header = nrrd.read(str(path))  # only as a whole
    except (
        nrrd.NRRDError,
        OSError,
        ValueError,
        LookupError,
        zlib.error,
        EOFError,
        StopIteration,
        MemoryError,
    ) as error:
        raise InputError(f"{name}: not a readable NRRD file: {error}") from error
    vectors = header.get("space directions")
    kinds = [str(k) for k in header.get("kinds", ["domain"] * voxels.ndim)]
    if vectors is not None:
        vectors = [None if v is None or np.isnan(v).any() else np.asarray(v) for v in vectors]
        is_space = [v is not None for v in vectors]
    else:
        is_space = [k in ("domain", "space") for k in kinds]
    letters = iter("xyz")
    names = [next(letters, "?") if s else "t" if k == "time" else "c^"
             for s, k in zip(is_space, kinds, strict=True)]  # fmt: skip
    metadata = Metadata(axis_names=names, unit=_nrrd_units(header, is_space, name))
    metadata.is_placed = "space origin" in header
    if vectors is not None:
        directions = np.array([v for v in vectors if v is not None])
        origin = np.asarray(header.get("space origin", np.zeros(directions.shape[1])))
        to_ras = _signs(str(header.get("space", "")), directions.shape[1])
        axes = [i for i, s in enumerate(is_space) if s]
        _set_grid(metadata, directions * to_ras, origin * to_ras, axes)
    elif "spacings" in header:
        sizes = [float(s) for s, space in zip(header["spacings"], is_space, strict=True) if space]
        metadata.voxel_size = None if any(map(isnan, sizes)) else sizes
    return voxels, metadata


def _signs(space: str, num: int) -> np.ndarray[Any, Any]:
    """What turns positions in a space into those of NIfTI: right, anterior, superior.

    >>> _signs("left-posterior-superior", 3).tolist(), _signs("RAS", 3).tolist()
    ([-1, -1, 1], [1, 1, 1])
    """
    letters = [w[:1] for w in space.upper().split("-")] if "-" in space else list(space.upper())
    if len(letters) != num or not set(letters) <= set("LRPAIS"):
        return np.ones(num, int)
    return np.array([-1 if letter in "LPI" else 1 for letter in letters])


def _nrrd_units(header: Mapping[str, Any], is_space: Sequence[bool], name: str) -> list[str] | None:
    """The unit of each spatial axis."""
    if (units := header.get("space units")) is not None:  # one per axis of the space
        found = [str(unit) for unit in units]
    else:  # one per axis of the array
        units = header.get("units", [""] * len(is_space))
        found = [str(unit) for unit, space in zip(units, is_space, strict=True) if space]
    if any(found):
        return found
    if header.get("space") is None:
        return None
    _log.warning("%s: names a space but no unit; taken to be mm, as medical programs do", name)
    return ["mm"]


def _nifti_errors(nibabel: Any) -> tuple[type[Exception], ...]:
    return (
        nibabel.filebasedimages.ImageFileError,
        nibabel.wrapstruct.WrapStructError,
        nibabel.spatialimages.HeaderDataError,
        OSError,
        ValueError,
        EOFError,
        zlib.error,
    )


def _set_grid(
    metadata: Metadata,
    directions: np.ndarray[Any, Any],
    origin: np.ndarray[Any, Any],
    axes: Sequence[int],
) -> None:
    """Name the spatial axes by the direction of the world in which they run, and place them.

    Args:
        directions: the step of each spatial axis in the world: (axes, x y z).
        origin: centre of the first voxel, in the world.
        axes: positions of the spatial axes in `metadata.axis_names`.
    """
    steps = np.abs(directions)
    if not np.isfinite(directions).all() or not (steps.max(axis=1) > 0).all():
        metadata.problem = f"its axes {directions.tolist()} include one of length 0"
        metadata.cured_by = ("axes", "voxel_size", "offset", "unit")
        return
    along = steps.argmax(axis=1)  # the axis of the world
    size = steps.max(axis=1)
    if directions.shape[1] > 3:
        metadata.problem = f"its space has {directions.shape[1]} axes"
        metadata.cured_by = ("axes", "voxel_size", "offset", "unit")
        return
    off_axis = np.sqrt((directions**2).sum(axis=1) - size**2 + 0.0)
    if len(set(along.tolist())) < len(along) or (off_axis > _MAX_TILT * size).any():
        metadata.problem = (
            f"its axes are rotated relative to the world, {directions.tolist()}: resample it, or "
            f"open it on a grid of its own"
        )
        metadata.cured_by = ("axes", "voxel_size", "offset", "unit")
        return
    signs = [1 if directions[i, at] > 0 else -1 for i, at in enumerate(along)]
    names = list(metadata.axis_names or [])
    for axis, at, sign in zip(axes, along, signs, strict=True):
        names[axis] = ("" if sign > 0 else "-") + "xyz"[at]
    if metadata.unit is not None and len(metadata.unit) > 1:
        metadata.unit = [metadata.unit[at] for at in along]
    metadata.axis_names = names
    metadata.voxel_size = [float(s) for s in size]
    if metadata.is_placed:
        metadata.offset = [float(origin[at]) * s for at, s in zip(along, signs, strict=True)]
        metadata.centred = True


def _check_file(path: Path, name: str) -> None:
    if not path.is_file():
        raise InputError(f"{name}: {missing_file(path)}")


def _library(module: str, name: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise InputError(
            f"{name}: needs the package {module}: pip install 'dacapo[formats]'"
        ) from error
