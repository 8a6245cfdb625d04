"""TIFF stacks, ImageJ hyperstacks and OME-TIFF images, read tile by tile."""

from __future__ import annotations

import logging
import re
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from dacapo.arrays.formats.ome import Level
from dacapo.arrays.metadata import Metadata
from dacapo.errors import InputError
from dacapo.processes.files import missing_file

if TYPE_CHECKING:
    from dacapo.arrays.array import Source

_log = logging.getLogger(__name__)
_PAGES = "QI"  # tifffile's letter for an axis that the file does not name
_Sizes = tuple[dict[str, float] | None, dict[str, str] | None]
"""Voxel size and unit of each spatial axis."""
_UNREADABLE = (
    tifffile.TiffFileError, LookupError, ValueError, OSError, EOFError, RuntimeError, MemoryError,
    struct.error, zlib.error,
)  # fmt: skip
_NAMES = {"S": "s^", "T": "t", "C": "c^"}


def open_tiff(
    path: Path, name: str, pick: Callable[[list[Level]], Level]
) -> tuple[Source, Metadata]:
    """The first image of a file, or a level of its pyramid; an unnamed stack axis is z."""
    if not path.is_file():
        raise InputError(f"{name}: {missing_file(path)}")
    try:
        file = _opened(path, name)
        series = file.series[0]
        problem = _check_pages(file, series, name)
        _check_complete(series, path, name)
    except InputError:
        raise
    except _UNREADABLE as error:
        raise InputError(f"{name}: not a readable TIFF file: {error}") from error
    axes = list(series.axes)
    if not {"Z"} & set(axes):
        axes = ["Z" if a in _PAGES else a for a in axes]
    names = [_NAMES.get(a, a.lower()) for a in axes]
    size, units = _voxel_size(file, series, name)
    spatial = [n for n in names if n in "zyx"]
    unit = None if units is None else [units[n] for n in spatial if n in units] or None
    known = None if size is None else [size[n] for n in spatial if n in size]
    levels = []
    for index, level in enumerate(series.levels):
        factors = [
            round(whole / n)
            for whole, n, axis in zip(series.shape, level.shape, names, strict=True)
            if axis in "zyx"
        ]
        here = None
        if known is not None and len(known) == len(spatial):
            here = [s * f for s, f in zip(known, factors, strict=True)]
        metadata = Metadata(voxel_size=here, unit=unit, axis_names=names, problem=problem)
        if here is not None and (origin := _imagej_origin(file.imagej_metadata, spatial)):
            metadata.offset = [-o * s for o, s in zip(origin, known or here, strict=True)]
        levels.append(Level(str(index), metadata))
    chosen = pick(levels) if len(levels) > 1 else levels[0]
    return _voxels(series, int(chosen.path), path), chosen.metadata


def _opened(path: Path, name: str) -> tifffile.TiffFile:
    """A file, of which the first series is read; images written one by one are one stack."""
    file = tifffile.TiffFile(path)
    if len(file.series) > 1:
        alike = {(s.shape, s.dtype, s.axes) for s in file.series}
        if len(alike) == 1 and file.series[0].axes == "YX" and len(file.pages) == len(file.series):
            file.close()
            return tifffile.TiffFile(path, is_shaped=False)
        shapes = ", ".join(str(list(s.shape)) for s in file.series[:5])
        _log.warning(
            "%s: the file holds %d images, of the shapes %s; only the first is read",
            name, len(file.series), shapes,
        )  # fmt: skip
    return file


def _voxels(series: Any, level: int, path: Path) -> Source:
    """A memory map if the voxels are uncompressed and contiguous, else tiles decoded on demand."""
    chosen = series.levels[level]
    if chosen.dataoffset is not None:
        order = chosen.pages[0].parent.byteorder
        dtype = np.dtype(chosen.dtype).newbyteorder(order)
        return np.memmap(path, dtype, "r", chosen.dataoffset, tuple(chosen.shape))
    import zarr

    source: Source = zarr.open_array(series.aszarr(level=level), mode="r")
    return source


def _check_pages(file: tifffile.TiffFile, series: Any, name: str) -> str:
    """Refuse a file that was cut short between its pages; tifffile reads those that are left.

    Returns:
        What may be wrong with it, if its axes are not given.
    """
    last, layout, handle = file.pages[-1], file.tiff, file.filehandle
    handle.seek(last.offset)
    (num_tags,) = struct.unpack(layout.tagnoformat, handle.read(layout.tagnosize))
    handle.seek(last.offset + layout.tagnosize + num_tags * layout.tagsize)
    (next_page,) = struct.unpack(layout.offsetformat, handle.read(layout.offsetsize))
    if next_page:
        raise InputError(
            f"{name}: the file is cut short: after {len(file.pages)} pages, the next one should be "
            f"at byte {next_page} of {handle.size}"
        )
    sizes = dict(zip(series.axes, series.shape, strict=True))
    planes = prod(n for axis, n in sizes.items() if axis not in "YXS")
    wanted = int((file.imagej_metadata or {}).get("images", 1))
    if planes < wanted:
        return f"the file is cut short: its header speaks of {wanted} images, it has {planes}"
    return ""


def _check_complete(series: Any, path: Path, name: str) -> None:
    """Refuse a file that ends before its last strip or tile: its voxels would read as 0."""
    size = path.stat().st_size
    for level in series.levels:
        for number, page in enumerate(level.pages):
            if page is None:
                raise InputError(f"{name}: page {number} is missing")
            ends = [o + c for o, c in zip(page.dataoffsets, page.databytecounts, strict=True)]
            if ends and max(ends) > size:
                raise InputError(
                    f"{name}: the file is cut short: page {number} reaches to byte {max(ends)} of "
                    f"{size}"
                )


def _voxel_size(file: tifffile.TiffFile, series: Any, name: str) -> _Sizes:
    """Size and unit of each spatial axis, as written by OME-XML or ImageJ."""
    if file.ome_metadata:
        return _ome_size(tifffile.xml2dict(file.ome_metadata), series, name)
    if file.imagej_metadata:
        return _imagej_size(file.imagej_metadata, series.keyframe.tags)
    return None, None


def _ome_size(document: Mapping[str, Any], series: Any, name: str) -> _Sizes:
    images = document["OME"]["Image"]
    pixels = (images[0] if isinstance(images, list) else images)["Pixels"]
    axes = [a for a in "zyx" if f"PhysicalSize{a.upper()}" in pixels]
    spatial = [a.lower() for a in series.axes if a in "ZYX"]
    if not set(spatial) <= set(axes):
        return None, None
    size = {a: float(pixels[f"PhysicalSize{a.upper()}"]) for a in spatial}
    unit = {a: str(pixels.get(f"PhysicalSize{a.upper()}Unit", "µm")) for a in spatial}
    return size, unit


def _imagej_size(metadata: Mapping[str, Any], tags: Any) -> _Sizes:
    """Resolution tags give pixels per unit; the distance between slices has its own key."""
    size = {}
    for axis, tag in (("y", "YResolution"), ("x", "XResolution")):
        value: Sequence[int] = tags[tag].value if tag in tags else (1, 1)
        if min(value) <= 0:
            return None, None
        size[axis] = value[1] / value[0]
    if "spacing" in metadata:
        size["z"] = abs(float(metadata["spacing"])) or 1.0  # as ImageJ does
    by_tag = tags["ResolutionUnit"].value if "ResolutionUnit" in tags else 1
    shared = metadata.get("unit") or {2: "inch", 3: "cm"}.get(int(by_tag), "pixel")
    unit = {axis: _unescaped(str(metadata.get(f"{axis}unit", shared))) for axis in "zyx"}
    if any(u.lower() in ("", "inch", "null") for u in unit.values()):
        return None, None
    return size, unit


def _imagej_origin(metadata: Mapping[str, Any] | None, spatial: Sequence[str]) -> list[float]:
    """The voxel at which ImageJ has the position 0, per axis; empty if it is the first one."""
    origin = [float((metadata or {}).get(f"{axis}origin", 0)) for axis in spatial]
    return origin if any(origin) else []


def _unescaped(text: str) -> str:
    r"""ImageJ writes other letters than ASCII as escapes.

    >>> _unescaped(r"\u03BCm")
    'μm'
    """
    return re.sub(r"\\u([0-9A-Fa-f]{4})", lambda found: chr(int(found[1], 16)), text)
