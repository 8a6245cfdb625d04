"""The metadata of N5 stores, in the conventions that are in use."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from dacapo.arrays.formats.ome import Level
from dacapo.arrays.metadata import BAD_METADATA, Metadata
from dacapo.errors import InputError

Attributes = Mapping[str, Any]
T = TypeVar("T")


def n5_metadata(attributes: Attributes, who: str, above: Attributes | None = None) -> Metadata:
    """The grid of an array: `transform` with named axes, `pixelResolution`, or `resolution` (x, y,
    z).

    N5 lists the fastest axis first, so up to three axes without names are x, y, z.

    Args:
        above: attributes of the group, which hold for its finest level.
    """
    try:
        num = len(attributes["dimensions"])
        if isinstance(transform := attributes.get("transform"), dict):
            return _named(transform, num)
        shared = above or {}
        names = attributes.get("axes", shared.get("axes"))
        names = [str(n).lower() for n in names] if names is not None else list("xyz")[:num]
        size, unit, is_of_level = _size(attributes)
        if size is None:
            size, unit, is_of_level = _size(shared)
            is_of_level = False
        factors = attributes.get("downsamplingFactors")
        if size is not None and factors is not None and not is_of_level:
            size = [float(s) * float(f) for s, f in zip(size, factors, strict=True)]
        offset = attributes.get("offset")
        metadata = Metadata(
            voxel_size=_spatial(size, names, float),
            offset=_spatial(offset, names, float),
            unit=[unit] if isinstance(unit, str) else _spatial(unit, names, str),
            axis_names=names,
        )
    except BAD_METADATA as error:
        raise InputError(f"{who}: N5 attributes cannot be read: {error!r}") from error
    if len(names) != num:
        metadata.axis_names = None
        metadata.problem = (
            f"the file names {len(names)} axes of {num}, {attributes['dimensions']}, listed "
            f"from the fastest to the slowest"
        )
        metadata.cured_by = ("axes",)
    return metadata


def _size(attributes: Attributes) -> tuple[Any, Any, bool]:
    """Voxel size and unit, and whether they are those of this level and not of the finest."""
    pixel = attributes.get("pixelResolution")
    if isinstance(pixel, dict):
        return pixel["dimensions"], pixel.get("unit"), False
    unit = attributes.get("units", attributes.get("unit"))
    if pixel is not None:
        return pixel, unit, False
    return attributes.get("resolution", attributes.get("voxel_size")), unit, True


def _spatial(values: Any, names: Sequence[str], kind: Callable[[Any], T]) -> list[T] | None:
    """The values of the spatial axes, of values for all axes or only for those."""
    if values is None:
        return None
    plain = [kind(value) for value in values]
    if len(plain) != len(names):
        return plain[:3]
    return [value for value, name in zip(plain, names, strict=True) if name.lstrip("-") in "xyz"]


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
        levels = []
        for path in paths:
            child = read(path)
            if child is None:
                break
            levels.append(Level(path, n5_metadata(child, who, attributes)))
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
