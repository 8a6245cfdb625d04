"""Layers for images or volumes, by the number of their axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from torch import nn

Shape = Sequence[int]


def convolution(dims: int) -> type[nn.Conv2d] | type[nn.Conv3d]:
    """The class of convolutions."""
    return nn.Conv2d if dims == 2 else nn.Conv3d


def transposed_convolution(in_channels: int, out_channels: int, factor: Shape) -> nn.Module:
    """Upsampling by learnt kernels that do not overlap."""
    make = nn.ConvTranspose2d if len(factor) == 2 else nn.ConvTranspose3d
    step: Any = tuple(factor)
    return make(in_channels, out_channels, step, step)


def max_pool(factor: Shape) -> nn.Module:
    """Downsampling to the largest value."""
    step: Any = tuple(factor)
    return nn.MaxPool2d(step) if len(step) == 2 else nn.MaxPool3d(step)


def average_pool(factor: Shape) -> nn.Module:
    """Downsampling to the mean."""
    step: Any = tuple(factor)
    return nn.AvgPool2d(step) if len(step) == 2 else nn.AvgPool3d(step)


def normalization(name: str, channels: int, dims: int) -> nn.Module:
    """`batch`, `instance`, or `group` with up to 8 groups; all scale and shift afterwards."""
    if name == "group":
        return nn.GroupNorm(math.gcd(channels, 8), channels)
    flat = dims == 2
    if name == "batch":
        return nn.BatchNorm2d(channels) if flat else nn.BatchNorm3d(channels)
    assert name == "instance"
    instance = nn.InstanceNorm2d if flat else nn.InstanceNorm3d
    return instance(channels, affine=True)
