from __future__ import annotations

import pytest
from funlib.geometry import Coordinate
from hypothesis import given
from hypothesis import strategies as st

from dacapo.arrays.units import from_world, is_pixel, to_world
from dacapo.errors import InputError


def test_funlib_truncates_which_is_why_we_convert() -> None:
    assert Coordinate((283.72, 126.79)) == (283, 126)
    assert to_world([283.72, 126.79], "nm", [283.72, 126.79], "voxel_size") == (283720, 126790)


@pytest.mark.parametrize(
    ("value", "unit", "world"),
    [(4.6, "nm", 4600), (0.5, "pixel", 500), (1.3, "um", 1300000), (4.6, "nanometer", 4600),
     (46, "angstrom", 4600), (1, "µm", 10**6), (0, "m", 0)],
)  # fmt: skip
def test_to_world(value: float, unit: str, world: int) -> None:
    assert to_world([value], unit, [1], "x") == (world,)
    assert from_world(Coordinate((world,)), unit) == [value]


def test_rounding_errors_within_a_millionth_of_a_voxel_are_forgiven() -> None:
    assert to_world([0.1 + 0.2], "nm", [0.3], "x") == (300,)


@pytest.mark.parametrize(
    ("value", "unit", "message"),
    [
        (4.0005, "nm", "not a whole multiple of 1 pm"),
        (0.33333, "pixel", "not a whole multiple of 1/1000 pixel"),
        (float("nan"), "nm", "is not finite"),
        (1, "parsec", "unknown unit 'parsec'"),
    ],
)
def test_refused(value: float, unit: str, message: str) -> None:
    with pytest.raises(InputError, match=f"offset.*{message}"):
        to_world([value], unit, [4], "offset")


def test_one_unit_an_axis() -> None:
    assert to_world([1, 4], ["um", "nm"], [1, 4], "x") == (10**6, 4000)
    with pytest.raises(InputError, match="has 2 axes"):
        to_world([1, 4], ["um"], [1, 4], "x")


@given(st.lists(st.integers(-(10**9), 10**9), min_size=1, max_size=3))
def test_round_trip(picometres: list[int]) -> None:
    nanometres = from_world(Coordinate(picometres), "nm")
    assert to_world(nanometres, "nm", [1] * len(picometres), "x") == tuple(picometres)


def test_pixels_stay_pixels() -> None:
    assert is_pixel("px")
    assert not is_pixel("nm")
