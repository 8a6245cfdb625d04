"""The residual encoder U-Net of nnU-Net (Isensee et al. 2024), for 2D and 3D."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from dacapo.nn.initialize import initialize
from dacapo.nn.layers import Shape, average_pool, convolution, normalization, transposed_convolution

_SLOPE = 0.01
"""Slope of the leaky ReLU below 0."""


class ResidualEncoderUNet(nn.Module):
    """Residual blocks down, one convolution per level up; all with padding.

    A level of the U-Net, `R` marks a residual block::

        raw -- stem -- R ------------------ concat -- conv -- out
                        \\                  /
                         R R R -- concat -- conv
                              \\  /
                               R R R R

    Args:
        in_channels: channels of the input.
        fmaps: feature maps of each level, finest first.
        blocks: residual blocks of each level.
        kernels: size of the kernels of each level.
        downsample: strides between the levels, one fewer; also the kernels that upsample.
        norm: normalisation after each convolution: `instance`, `group` or `batch`.

    The output has as many channels as the finest level.
    """

    def __init__(
        self,
        in_channels: int,
        fmaps: Sequence[int],
        blocks: Sequence[int],
        kernels: Sequence[Shape],
        downsample: Sequence[Shape],
        norm: str,
    ) -> None:
        super().__init__()
        ones = [1] * len(kernels[0])
        self.stem = ConvNorm(in_channels, fmaps[0], kernels[0], ones, norm)
        self.down = nn.ModuleList(
            nn.Sequential(
                *(
                    ResidualBlock(o if block else i, o, kernel, ones if block else stride, norm)
                    for block in range(num)
                )
            )
            for i, o, kernel, stride, num in zip(
                [fmaps[0], *fmaps], fmaps, kernels, [ones, *downsample], blocks, strict=False
            )
        )
        self.rise = nn.ModuleList(
            transposed_convolution(below, here, factor)
            for here, below, factor in zip(fmaps, fmaps[1:], downsample, strict=False)
        )
        self.up = nn.ModuleList(
            ConvNorm(2 * here, here, kernel, ones, norm)
            for here, kernel in zip(fmaps[:-1], kernels, strict=False)
        )
        initialize(self)
        for module in self.modules():
            if isinstance(module, ResidualBlock):
                module.silence()

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, *spatial) -> (B, fmaps[0], *spatial).

        Each spatial axis is divisible by the product of its strides.
        """
        x = leaky_relu(self.stem(x), _SLOPE)
        skips = []
        for stage in self.down:
            x = stage(x)
            skips.append(x)
        x = skips.pop()
        for level in reversed(range(len(self.up))):
            x = torch.cat([self.rise[level](x), skips.pop()], dim=1)
            x = leaky_relu(self.up[level](x), _SLOPE)
        return x


class ResidualBlock(nn.Module):
    """Two convolutions beside a shortcut, which is averaged where they have a stride (ResNet-D).

    He et al. 2019, "Bag of tricks for image classification with convolutional neural networks".
    """

    def __init__(self, i: int, o: int, kernel: Shape, stride: Shape, norm: str) -> None:
        super().__init__()
        ones = [1] * len(kernel)
        self.first = ConvNorm(i, o, kernel, stride, norm)
        self.second = ConvNorm(o, o, kernel, ones, norm)
        self.shortcut = nn.Sequential()
        if list(stride) != ones:
            self.shortcut.append(average_pool(stride))
        if i != o:
            self.shortcut.append(ConvNorm(i, o, ones, ones, norm, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        """(B, i, *spatial) -> (B, o, *spatial / stride)."""
        y = self.second(leaky_relu(self.first(x), _SLOPE))
        return leaky_relu(y + self.shortcut(x), _SLOPE)

    def silence(self) -> None:
        """Start as the shortcut alone, so that a deep network starts as a shallow one."""
        nn.init.zeros_(self.second.norm.weight)  # type: ignore[arg-type]


class ConvNorm(nn.Module):
    """A convolution with padding, and a normalisation."""

    def __init__(
        self, i: int, o: int, kernel: Shape, stride: Shape, norm: str, bias: bool = True
    ) -> None:
        super().__init__()
        make: Callable[..., nn.Module] = convolution(len(kernel))
        padding = tuple(k // 2 for k in kernel)
        self.conv = make(i, o, tuple(kernel), stride=tuple(stride), padding=padding, bias=bias)
        self.norm = normalization(norm, o, len(kernel))

    def forward(self, x: Tensor) -> Tensor:
        """(B, i, *spatial) -> (B, o, *spatial / stride)."""
        y: Tensor = self.norm(self.conv(x))
        return y
