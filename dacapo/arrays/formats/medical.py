"""NIfTI and NRRD volumes. Voxels keep the order of the file.

An axis along which world positions decrease is called `-x`. Its world coordinates are negated here,
so volumes that are used together must agree in the direction of their axes.
"""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Iterable
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dacapo.arrays.metadata import Metadata
from dacapo.errors import InputError

if TYPE_CHECKING:
    from dacapo.arrays.array import Source

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
    except _nifti_errors(nibabel) as error:
        raise InputError(f"{name}: not a readable NIfTI file: {error}") from error
    names = ["x", "y", "z", "t", "c", "c2^", "c3^"][: len(voxels.shape)]
    num = min(len(voxels.shape), 3)
    size, offset, signs = _along_axes(affine[:num, :num].T, affine[:num, 3], name)
    return voxels, Metadata(
        voxel_size=size,
        offset=offset,
        unit=None if unit is None else [unit],
        axis_names=[f"-{n}" if s < 0 else n for n, s in zip(names, signs, strict=False)]
        + names[num:],
        centred=True,
    )


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
    unit = header.get("space units", header.get("units"))
    metadata = Metadata(axis_names=names, centred=True)
    if unit is not None:
        metadata.unit = [str(unit[0])] if isinstance(unit, list | np.ndarray) else [str(unit)]
    if vectors is not None:
        directions = np.array([v for v in vectors if v is not None])
        origin = header.get("space origin", np.zeros(directions.shape[1]))
        size, metadata.offset, signs = _along_axes(directions, origin, name)
        metadata.voxel_size = size
        signed = iter(signs)
        metadata.axis_names = [
            f"-{n}" if s and next(signed) < 0 else n for n, s in zip(names, is_space, strict=True)
        ]
    elif "spacings" in header:
        sizes = [float(s) for s, space in zip(header["spacings"], is_space, strict=True) if space]
        metadata.voxel_size = None if any(map(isnan, sizes)) else sizes
    return voxels, metadata


def _nifti_errors(nibabel: Any) -> tuple[type[Exception], ...]:
    return (
        nibabel.filebasedimages.ImageFileError,
        nibabel.wrapstruct.WrapStructError,
        nibabel.spatialimages.HeaderDataError,
        OSError,
        ValueError,
        EOFError,
    )


def _along_axes(
    directions: np.ndarray[Any, Any], origin: Iterable[float], name: str
) -> tuple[list[float], list[float], list[int]]:
    """Voxel size, offset and sign of each axis; each row is the direction of one axis."""
    size = np.abs(directions).max(axis=1)
    if not np.isfinite(directions).all() or not (size > 0).all():
        raise InputError(f"{name}: directions {directions.tolist()} include an axis of length 0")
    square = directions[:, : len(directions)]
    off = np.abs(square - np.diag(np.diag(square))).max(axis=1)
    if (off > 1e-5 * size).any() or directions.shape[1] != len(directions):
        raise InputError(
            f"{name}: its axes are rotated or swapped relative to the world: "
            f"{directions.tolist()}; resample it, or write it as HDF5 or zarr with the axes z, y, x"
        )
    signs = [1 if d > 0 else -1 for d in np.diag(square)]
    offset = [float(o) * s for o, s in zip(origin, signs, strict=True)]
    return [float(s) for s in size], offset, signs


def _check_file(path: Path, name: str) -> None:
    if not path.is_file():
        raise InputError(f"{name}: no file {path}")


def _library(module: str, name: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise InputError(
            f"{name}: needs the package {module}: pip install 'dacapo[formats]'"
        ) from error
