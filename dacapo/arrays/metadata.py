"""The grid of an array as files describe it, in one common order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dacapo.errors import InputError

SPATIAL = "zyx"
BAD_METADATA = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""Exceptions raised while reading metadata that do not have the expected form."""

_TIME = ("t", "time")
_CHANNEL = ("c", "channel", "channels", "s", "sample", "rgb")


@dataclass(kw_only=True)
class Metadata:
    """The grid of an array in the file's own units; None where the file does not specify it.

    Attributes:
        voxel_size, offset: one number per spatial axis, in the order of the array's axes.
        unit: one for all spatial axes, or one per axis.
        axis_names: of all axes of the array, or only of the spatial ones, which then come last.
            `-x` is an axis along which world positions decrease.
        centred: the offset is the centre of the first voxel, not its corner.
        class_names: of label ids.
        is_placed: whether the file says where the array lies; if not, the offset is 0.
        problem: why the grid cannot be told from the file; empty if it can.
        cured_by: what the user has to give, all of it, to open the array nevertheless.
    """

    voxel_size: Sequence[float] | None = None
    offset: Sequence[float] | None = None
    unit: Sequence[str] | None = None
    axis_names: Sequence[str] | None = None
    centred: bool = False
    class_names: Mapping[int, str] = field(default_factory=dict)
    is_placed: bool = True
    problem: str = ""
    cured_by: Sequence[str] = ("axes",)


@dataclass(frozen=True)
class Axes:
    """Which axes of a source are channels, time and space.

    Attributes:
        channel, spatial: positions in the source; spatial ones in the order z, y, x.
        time: positions in the source.
        names: of the spatial axes.
        order: of the spatial axes in the file, as positions in `names`.
    """

    channel: tuple[int, ...]
    time: tuple[int, ...]
    spatial: tuple[int, ...]
    names: tuple[str, ...]
    order: tuple[int, ...]


def sort_axes(
    names: Sequence[str] | None, shape: Sequence[int], dims: int | None, who: str
) -> Axes:
    """Sort the axes of an array by their names.

    Args:
        names: see `Metadata`; None: the last axes are z, y, x.
        dims: number of spatial axes, if a voxel size determines it.

    Raises:
        InputError: the names do not match the shape, a name occurs twice, or no axis is spatial.
    """
    num = len(shape)
    if names is None:
        dims = min(dims or num, 3)
        names = list(SPATIAL[-dims:])
    plain = [str(n).strip().lower() for n in names]
    if len(plain) < num:  # the names of the spatial axes only
        plain = ["c"] * (num - len(plain)) + plain
    if len(plain) != num:
        raise InputError(
            f"{who}: axes {list(names)} do not match the shape {tuple(shape)}; set axes"
        )
    channel, time, spatial = [], [], []
    for at, name in enumerate(plain):
        if name in _TIME:
            time.append(at)
        elif name in _CHANNEL or name.endswith("^"):
            channel.append(at)
        else:
            spatial.append(at)
    found = [plain[at] for at in spatial]
    letters = [n.lstrip("-") for n in found]
    if len(set(letters)) < len(letters) or not 2 <= len(letters) <= 3:
        raise InputError(
            f"{who}: {found} are the spatial axes of shape {tuple(shape)}: 2D and 3D arrays are "
            f"supported; set axes, like axes=zyx or axes=tczyx"
        )
    ranked = sorted(range(len(letters)), key=lambda i: (SPATIAL + letters[i]).index(letters[i]))
    if not set(letters) <= set(SPATIAL):
        ranked = list(range(len(letters)))  # unusual names: keep the order of the file
    return Axes(
        tuple(channel),
        tuple(time),
        tuple(spatial[i] for i in ranked),
        tuple(found[i] for i in ranked),
        tuple(ranked),
    )


def known_axes(names: Sequence[str]) -> bool:
    """Whether all names are those of space, time or channels."""
    known = (*SPATIAL, *_TIME, *_CHANNEL)
    return all(str(name).strip().lower() in known for name in names)


def _are_numbers(values: object) -> bool:
    return isinstance(values, list | tuple) and all(isinstance(v, int | float) for v in values)


def attributes_metadata(attributes: Mapping[str, Any]) -> Metadata:
    """The plain convention: `voxel_size` (or `resolution`), `offset`, `units`, `axis_names`.

    Also `element_size_um`, as PlantSeg and ilastik write it.
    """
    size = attributes.get("voxel_size", attributes.get("resolution"))
    unit = attributes.get("units", attributes.get("unit"))
    if size is None and attributes.get("element_size_um") is not None:
        size, unit = attributes["element_size_um"], "um"
    names = attributes.get("axis_names")
    dimensions = attributes.get("_ARRAY_DIMENSIONS")  # of xarray
    if names is None and isinstance(dimensions, list) and known_axes(dimensions):
        names = dimensions
    offset = attributes.get("offset")
    classes = attributes.get("class_names")
    for name, value in (("voxel size", size), ("offset", offset)):
        if value is not None and not _are_numbers(value):
            given = ("offset",) if value is offset else ("voxel_size", "unit")
            return Metadata(problem=f"its {name} is {value!r:.99}", cured_by=given)
    return Metadata(
        voxel_size=None if size is None else [float(v) for v in size],
        offset=None if offset is None else [float(v) for v in offset],
        unit=None if unit is None else [unit] if isinstance(unit, str) else [str(u) for u in unit],
        axis_names=None if names is None else [str(n) for n in names],
        class_names={} if classes is None else {i: str(n) for i, n in enumerate(classes, start=1)},
    )
