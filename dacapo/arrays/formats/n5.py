"""The metadata of N5 stores, in the conventions that are in use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from dacapo.arrays.formats.ome import Level
from dacapo.arrays.metadata import BAD_METADATA, Metadata
from dacapo.errors import InputError

Attributes = Mapping[str, Any]


def n5_metadata(attributes: Attributes, who: str) -> Metadata:
    """The grid of an array: `transform` with named axes, `pixelResolution`, or `resolution` (x, y,
    z).

    N5 lists the fastest axis first, so axes without names are x, y, z.
    """
    try:
        num = len(attributes["dimensions"])
        names = list("xyzct"[:num])
        if isinstance(transform := attributes.get("transform"), dict):
            return _named(transform, num)
        pixel = attributes.get("pixelResolution")
        size = pixel["dimensions"] if isinstance(pixel, dict) else pixel
        unit = pixel.get("unit") if isinstance(pixel, dict) else attributes.get("units")
        size = attributes.get("resolution", attributes.get("voxel_size")) if size is None else size
        offset = attributes.get("offset")
        factors = attributes.get("downsamplingFactors") if pixel is not None else None
        if size is not None and factors is not None:
            size = [float(s) * float(f) for s, f in zip(size, factors, strict=True)]
        return Metadata(
            voxel_size=None if size is None else [float(s) for s in size][:3],
            offset=None if offset is None else [float(o) for o in offset][:3],
            unit=None if unit is None else [unit] if isinstance(unit, str) else list(unit)[:3],
            axis_names=names,
        )
    except BAD_METADATA as error:
        raise InputError(f"{who}: N5 attributes cannot be read: {error!r}") from error


def n5_levels(
    attributes: Attributes, who: str, read: Callable[[str], Attributes | None]
) -> list[Level] | None:
    """The pyramid of a group: `multiscales` with transforms, or children s0, s1...; None: no
    pyramid.

    Args:
        read: returns the attributes of a child.
    """
    try:
        images = attributes.get("multiscales")
        paths = (
            [str(d["path"]) for d in images[0]["datasets"]]
            if images
            else [f"s{i}" for i in range(32)]
        )
        shared = {
            key: attributes[key] for key in ("pixelResolution", "resolution") if key in attributes
        }
        levels = []
        for path in paths:
            child = read(path)
            if child is None:
                break
            levels.append(Level(path, n5_metadata({**shared, **child}, who)))
        return levels or None
    except BAD_METADATA as error:
        raise InputError(f"{who}: N5 attributes cannot be read: {error!r}") from error


def _named(transform: Mapping[str, Any], num: int) -> Metadata:
    """A transform: axes are named from the slowest to the fastest, and it places voxel centres."""
    names = [str(n) for n in transform["axes"]][::-1]
    if len(names) != num:
        raise ValueError(f"transform names {len(names)} axes of {num}")
    units = transform.get("units")
    return Metadata(
        voxel_size=[float(s) for s in transform["scale"]][::-1],
        offset=[float(t) for t in transform["translate"]][::-1],
        unit=None if units is None else [str(u) for u in units][::-1],
        axis_names=names,
        centred=True,
    )
