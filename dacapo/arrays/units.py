"""World units: integer picometres internally, any unit for users.

`funlib.geometry.Coordinate` holds integers and truncates silently, so a voxel of 283.72 nm must
become 283720 pm first. Data without a physical size are measured in pixels; a pixel is 1000 world
units, so that the half-pixel shifts of image pyramids stay integers.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

from funlib.geometry import Coordinate

from dacapo.errors import InputError

PIXEL = "pixel"

_PICOMETRES = {
    "pm": 1, "picometer": 1, "picometre": 1,
    "angstrom": 100, "å": 100,
    "nm": 10**3, "nanometer": 10**3, "nanometre": 10**3,
    "um": 10**6, "µm": 10**6, "μm": 10**6, "micron": 10**6,
    "micrometer": 10**6, "micrometre": 10**6,
    "mm": 10**9, "millimeter": 10**9, "millimetre": 10**9,
    "cm": 10**10, "centimeter": 10**10, "centimetre": 10**10,
    "m": 10**12, "meter": 10**12, "metre": 10**12,
}  # fmt: skip
_PARTS_OF_A_PIXEL = 1000  # as many as there are pm in a nm
_PIXEL_NAMES = (PIXEL, "px", "pixels", "voxel")


def scale_of(unit: str, what: str) -> int:
    """How many world units make one `unit`."""
    key = unit.strip().lower()
    if key in _PIXEL_NAMES:
        return _PARTS_OF_A_PIXEL
    key = singular(key)
    if key not in _PICOMETRES:
        known = "pm, angstrom, nm, um, mm, cm, m and pixel"
        raise InputError(f"{what}: unknown unit {unit!r}; choose from {known}")
    return _PICOMETRES[key]


def singular(unit: str) -> str:
    """A unit as it is written elsewhere.

    >>> singular("microns"), singular("nm")
    ('micron', 'nm')
    """
    one = unit.strip().removesuffix("s")
    return one if one.lower() in _PICOMETRES else unit


def symbol(unit: str) -> str:
    """The usual symbol of a unit.

    >>> symbol("nanometer"), symbol("microns"), symbol("nm")
    ('nm', 'um', 'nm')
    """
    size = scale_of(unit, "unit")
    symbols = {scale: name for name, scale in reversed(_PICOMETRES.items())}  # the first of each
    return PIXEL if is_pixel(unit) else symbols[size]


def is_pixel(unit: str) -> bool:
    """Whether a unit has no physical size."""
    return unit.strip().lower() in _PIXEL_NAMES


def to_world(
    values: Sequence[float],
    unit: str | Sequence[str],
    voxel_size: Sequence[float],
    what: str,
    near: float = 1e-6,
) -> Coordinate:
    """Convert numbers with a unit to world units.

    Args:
        values: one number per axis.
        unit: one for all axes, or one per axis.
        voxel_size: in the same unit.
        what: name of the value, for messages.
        near: part of a voxel by which a value may differ from an integer.

    >>> to_world([283.72, 126.79], "nm", [283.72, 126.79], "voxel_size")
    (283720, 126790)
    """
    units = [unit] * len(values) if isinstance(unit, str) else list(unit)
    if len(units) != len(values) or len(voxel_size) != len(values):
        raise InputError(f"{what}: {list(values)} has {len(values)} axes, units are {units}")
    whole = []
    for value, axis_unit, size in zip(values, units, voxel_size, strict=True):
        if not isfinite(value):
            raise InputError(f"{what}: {list(values)} {axis_unit} is not finite")
        exact = value * scale_of(axis_unit, what)
        if abs(exact - round(exact)) > near * abs(size) * scale_of(axis_unit, what):
            step = "1/1000 pixel" if is_pixel(axis_unit) else "1 pm"
            raise InputError(f"{what}: {value} {axis_unit} is not a whole multiple of {step}")
        whole.append(round(exact))
    return Coordinate(whole)


def from_world(values: Coordinate, unit: str) -> list[float]:
    """Convert world units to numbers in `unit`.

    >>> from_world(Coordinate(4600, 500), "nm")
    [4.6, 0.5]
    """
    return [v / scale_of(unit, "unit") for v in values]


def in_nm(values: Coordinate) -> list[float]:
    """Convert world units to nm, or to pixels for data without a physical size.

    >>> in_nm(Coordinate(4600, 500))
    [4.6, 0.5]
    """
    return [v / _PICOMETRES["nm"] for v in values]
