"""A U-Net (Ronneberger et al. 2015; Cicek et al. 2016) for 2D and 3D, and its usual variants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, relu

from dacapo.nn.geometry import UNetGeometry
from dacapo.nn.initialize import initialize
from dacapo.nn.layers import Shape, convolution, max_pool, normalization, transposed_convolution


class UNet(nn.Module):
    """Convolutions and max-pooling down, upsampling and skip connections up.

    A level of the U-Net, `x` marks a convolution::

        raw -- x x ------------------ crop, concat -- x x -- upsample_out x x -- out
                  \\ pool                          / upsample
                    x x ------- crop, concat -- x x
                       \\ pool               / upsample
                         ------- x x -------

    Args:
        geometry: the properties that determine its shapes.
        in_channels: channels of the input.
        num_fmaps: feature maps of the finest level; level l has num_fmaps * inc_factor ** l.
        out_channels: channels of the output; None: num_fmaps.
        inc_factor: growth of the feature maps from level to level.
        constant_upsample: repeat voxels and convolve by 1; otherwise transposed convolutions.
        norm: normalisation after each convolution: `batch`, `instance`, `group` or None.
        residual: residual connections around the convolutions of a level (He et al. 2016).
        attention: attention gates on the skip connections (Oktay et al. 2018).
        deep_supervision: `forward_with_aux` also returns the maps of coarser levels.
    """

    def __init__(
        self,
        geometry: UNetGeometry,
        *,
        in_channels: int,
        num_fmaps: int,
        inc_factor: int,
        out_channels: int | None = None,
        constant_upsample: bool = True,
        norm: str | None = None,
        residual: bool = False,
        attention: bool = False,
        deep_supervision: bool = False,
    ) -> None:
        super().__init__()
        downsample, upsample_out = geometry.downsample, geometry.upsample_out
        kernels_down, kernels_up = geometry.kernels_down, geometry.kernels_up

        def convolutions(i: int, o: int, kernels: Sequence[Shape]) -> nn.Module:
            plain = Convolutions(i, o, kernels, geometry.same_padding, norm)
            return Residual(plain, i, o) if residual else plain

        fmaps = [num_fmaps * inc_factor**level for level in range(len(downsample) + 1)]
        last = out_channels or num_fmaps
        out = [last if level == 0 and not upsample_out else f for level, f in enumerate(fmaps)]
        self._downsample, self._upsample_out = downsample, upsample_out
        self.pools = nn.ModuleList(max_pool(factor) for factor in downsample)
        self.down = nn.ModuleList(
            convolutions(i, o, kernels)
            for i, o, kernels in zip([in_channels, *fmaps], fmaps, kernels_down, strict=False)
        )
        self.rise = nn.ModuleList(
            Upsample(below, here, factor, constant_upsample)
            for here, below, factor in zip(fmaps, fmaps[1:], downsample, strict=False)
        )
        self.up = nn.ModuleList(
            convolutions(2 * here, o, kernels)
            for here, o, kernels in zip(fmaps, out, kernels_up, strict=False)
        )
        self.out = nn.Sequential()
        for step, factor in enumerate(upsample_out):
            o = last if step == len(upsample_out) - 1 else num_fmaps
            self.out.append(Upsample(num_fmaps, num_fmaps, factor, constant_upsample))
            self.out.append(convolutions(num_fmaps, o, kernels_up[0]))
        dims = len(kernels_down[0][0])
        self.gates = nn.ModuleList(AttentionGate(f, dims) for f in fmaps[:-1] if attention)
        self.deep = nn.ModuleList()
        if deep_supervision:  # from the second coarsest to the second finest
            self.deep.extend(convolution(dims)(f, last, 1) for f in fmaps[1:-1])
        initialize(self)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, *spatial) -> (B, out_channels, *smaller)."""
        return self.out(self._levels(x)[-1])  # type: ignore[no-any-return]

    def forward_with_aux(self, x: Tensor) -> list[Tensor]:
        """The output, and those of coarser levels except the coarsest, resized to the output."""
        levels = self._levels(x)
        output: Tensor = self.out(levels[-1])
        deep = [
            _centre(interpolate(point(level), scale_factor=self._factor(number)), output.shape[2:])
            for number, (point, level) in enumerate(
                zip(self.deep, reversed(levels[:-1]), strict=True), start=1
            )
        ]
        return [output, *deep]

    def _levels(self, x: Tensor) -> list[Tensor]:
        """The maps going up, second coarsest first; all but the last only if they are needed."""
        skips, levels = [], []
        for convolve, pool in zip(self.down, self.pools, strict=False):
            x = convolve(x)
            skips.append(x)
            x = pool(x)
        x = self.down[-1](x)
        for level in reversed(range(len(self.up))):
            x = self.rise[level](x)
            # Popped, so that without gradients its memory is freed before the convolutions.
            skip = _centre(skips.pop(), x.shape[2:])
            if self.gates:
                skip = self.gates[level](skip, x)
            x = self.up[level](torch.cat([skip, x], dim=1))
            if self.deep:
                levels.append(x)
        return levels if self.deep else [x]

    def _factor(self, level: int) -> list[float]:
        """How much coarser a level is than the output."""
        factor = [1.0] * len(self._downsample[0])
        for step in (*self._downsample[:level], *self._upsample_out):
            factor = [f * s for f, s in zip(factor, step, strict=True)]
        return factor


class Convolutions(nn.Sequential):
    """Convolutions one after the other, each with a normalisation, if any, and a ReLU."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernels: Sequence[Shape],
        same_padding: bool,
        norm: str | None = None,
    ) -> None:
        layers: list[nn.Module] = []
        for kernel in kernels:
            padding = "same" if same_padding else 0
            make: Any = convolution(len(kernel))
            layer = make(in_channels, out_channels, tuple(kernel), padding=padding)
            normalize = [normalization(norm, out_channels, len(kernel))] if norm else []
            layers += [layer, *normalize, nn.ReLU(inplace=True)]
            in_channels = out_channels
        super().__init__(*layers)


class Residual(nn.Module):
    """Adds its input, cropped, before the last ReLU.

    The input passes through a 1x1 convolution if its number of channels differs.
    """

    def __init__(self, convolutions: Convolutions, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*list(convolutions)[:-1])
        self.shortcut: nn.Module = nn.Identity()
        if in_channels != out_channels:
            dims = 2 if isinstance(convolutions[0], nn.Conv2d) else 3
            self.shortcut = convolution(dims)(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, *spatial) -> (B, out_channels, *smaller)."""
        y = self.layers(x)
        total: Tensor = relu(y + self.shortcut(_centre(x, y.shape[2:])))
        return total


class AttentionGate(nn.Module):
    """Attention gate: weights a skip connection by what the coarser level finds important."""

    def __init__(self, channels: int, dims: int) -> None:
        super().__init__()
        point = convolution(dims)
        inner = max(1, channels // 2)
        self.of_skip = point(channels, inner, 1)
        self.of_gate = point(channels, inner, 1, bias=False)
        self.weigh = point(inner, 1, 1)

    def forward(self, skip: Tensor, gate: Tensor) -> Tensor:
        """Both inputs and the output are (B, C, *spatial)."""
        weight = self.weigh(relu(self.of_skip(skip) + self.of_gate(gate)))
        let_through: Tensor = skip * weight.sigmoid()
        return let_through


class Upsample(nn.Sequential):
    """Upsamples the feature maps of a coarser level to a finer one."""

    def __init__(self, in_channels: int, out_channels: int, factor: Shape, constant: bool) -> None:
        if constant:
            point = convolution(len(factor))(in_channels, out_channels, 1)
            super().__init__(point, nn.Upsample(scale_factor=tuple(float(f) for f in factor)))
        else:
            super().__init__(transposed_convolution(in_channels, out_channels, factor))


def _centre(x: Tensor, shape: torch.Size) -> Tensor:
    """The central part of the spatial axes."""
    for axis, size in enumerate(shape, start=2):
        x = x.narrow(axis, (x.shape[axis] - size) // 2, size)
    return x
