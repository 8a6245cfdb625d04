"""Shapes computed on paper, by `UNetGeometry`, and by running the network."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dacapo.errors import InputError
from dacapo.nn.geometry import UNetGeometry
from dacapo.nn.unet import UNet


def parts(dims: int, downsample: list[list[int]], same: bool, up: list[list[int]]) -> dict:
    two = [[3] * dims] * 2
    return {
        "downsample": downsample,
        "kernels_down": [two] * (len(downsample) + 1),
        "kernels_up": [two] * len(downsample),
        "same_padding": same,
        "upsample_out": up,
    }


def test_on_paper() -> None:
    geometry = UNetGeometry(**parts(3, [[2, 2, 2], [2, 2, 2]], False, []))
    # 76 -4-> 72 /2-> 36 -4-> 32 /2-> 16 -4-> 12 *2-> 24 -4-> 20 *2-> 40 -4-> 36
    assert geometry.output_shape([76, 76, 76]) == (36, 36, 36)
    assert geometry.smallest_input([36, 36, 36]) == (76, 76, 76)
    assert geometry.period == (4, 4, 4)


def test_the_nearest_valid_shape_is_named() -> None:
    geometry = UNetGeometry(**parts(2, [[2, 2], [2, 2]], False, []))
    with pytest.raises(InputError, match=r"shape=\[77, 90\].*nearest that fits is \[76, 92\]"):
        geometry.output_shape([77, 90])
    assert geometry.output_shape([76, 92]) == (36, 52)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.lists(st.integers(1, 3), min_size=2, max_size=2), min_size=1, max_size=2),
    st.booleans(),
    st.booleans(),
    st.integers(20, 60),
    st.integers(20, 60),
    st.sampled_from([[], [[2, 1]], [[2, 2], [1, 3]]]),
)
def test_agrees_with_running_the_network(
    downsample: list[list[int]],
    same: bool,
    constant: bool,
    height: int,
    width: int,
    up: list[list[int]],
) -> None:
    shapes = parts(2, downsample, same, up)
    geometry = UNetGeometry(**shapes)
    network = UNet(
        geometry, in_channels=1, num_fmaps=1, inc_factor=2, constant_upsample=constant
    ).to("meta")
    x = torch.empty(1, 1, height, width, device="meta")
    try:
        expected = geometry.output_shape((height, width))
    except InputError:
        return
    assert tuple(network(x).shape[2:]) == expected


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("constant", [True, False])
def test_the_period_is_what_it_says(dims: int, constant: bool) -> None:
    """Shifting the input by the period shifts the output; so blocks can be joined."""
    torch.manual_seed(0)
    shapes = parts(dims, [[2] * dims], False, [])
    geometry = UNetGeometry(**shapes)
    network = UNet(geometry, in_channels=1, num_fmaps=2, inc_factor=2, constant_upsample=constant)
    period = geometry.period[0]
    x = torch.rand(1, 1, *[30 + period] * dims)
    axes = list(itertools.repeat(slice(None), 2))
    with torch.no_grad():
        a = network(x[(*axes, *[slice(0, 30)] * dims)])
        b = network(x[(*axes, *[slice(period, 30 + period)] * dims)])
    n = a.shape[-1]
    left = a[(*axes, *[slice(period, n)] * dims)]
    right = b[(*axes, *[slice(0, n - period)] * dims)]
    assert torch.allclose(left, right, atol=1e-5)
