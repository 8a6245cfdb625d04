"""A U-Net (Ronneberger et al. 2015; Cicek et al. 2016) for 2D and 3D."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from dacapo.nn.initialize import initialize

Shape = Sequence[int]


class UNet(nn.Module):
    """Convolutions and max-pooling down, upsampling and skip connections up.

    A level of the U-Net, `x` marks a convolution::

        raw -- x x ------------------ crop, concat -- x x -- upsample_out x x -- out
                  \\ pool                          / upsample
                    x x ------- crop, concat -- x x
                       \\ pool               / upsample
                         ------- x x -------

    Args:
        in_channels: of the input.
        num_fmaps: feature maps of the finest level; level l has num_fmaps * inc_factor ** l.
        out_channels: of the output; None: num_fmaps.
        inc_factor: growth of the feature maps from level to level.
        downsample: pooling factors between levels, finest first.
        kernels_down, kernels_up: kernel shapes of each convolution, a level (finest first);
            one entry more going down than going up.
        same_padding: pad with zeros so that shapes stay; otherwise convolutions eat the border.
        constant_upsample: repeat voxels and convolve by 1; otherwise transposed convolutions.
        upsample_out: further upsampling factors after the last level.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        num_fmaps: int,
        inc_factor: int,
        downsample: Sequence[Shape],
        kernels_down: Sequence[Sequence[Shape]],
        kernels_up: Sequence[Sequence[Shape]],
        out_channels: int | None = None,
        same_padding: bool = False,
        constant_upsample: bool = True,
        upsample_out: Sequence[Shape] = (),
    ) -> None:
        super().__init__()
        fmaps = [num_fmaps * inc_factor**level for level in range(len(downsample) + 1)]
        last = out_channels or num_fmaps
        out = [last if level == 0 and not upsample_out else f for level, f in enumerate(fmaps)]
        self.pools = nn.ModuleList(_pool(factor) for factor in downsample)
        self.down = nn.ModuleList(
            Convolutions(i, o, kernels, same_padding)
            for i, o, kernels in zip([in_channels, *fmaps], fmaps, kernels_down, strict=False)
        )
        self.rise = nn.ModuleList(
            Upsample(below, here, factor, constant_upsample)
            for here, below, factor in zip(fmaps, fmaps[1:], downsample, strict=False)
        )
        self.up = nn.ModuleList(
            Convolutions(2 * here, o, kernels, same_padding)
            for here, o, kernels in zip(fmaps, out, kernels_up, strict=False)
        )
        self.out = nn.Sequential()
        for step, factor in enumerate(upsample_out):
            o = last if step == len(upsample_out) - 1 else num_fmaps
            self.out.append(Upsample(num_fmaps, num_fmaps, factor, constant_upsample))
            self.out.append(Convolutions(num_fmaps, o, kernels_up[0], same_padding))
        initialize(self)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, *spatial) -> (B, out_channels, *smaller)."""
        skips = []
        for convolve, pool in zip(self.down, self.pools, strict=False):
            x = convolve(x)
            skips.append(x)
            x = pool(x)
        x = self.down[-1](x)
        for rise, convolve in zip(reversed(self.rise), reversed(self.up), strict=True):
            x = rise(x)
            # Popped, so that without gradients its memory is free before the convolutions.
            x = torch.cat([_centre(skips.pop(), x.shape[2:]), x], dim=1)
            x = convolve(x)
        x = self.out(x)
        return x


class Convolutions(nn.Sequential):
    """Convolutions one after the other, each with a ReLU."""

    def __init__(
        self, in_channels: int, out_channels: int, kernels: Sequence[Shape], same_padding: bool
    ) -> None:
        layers: list[nn.Module] = []
        for kernel in kernels:
            convolution = nn.Conv2d if len(kernel) == 2 else nn.Conv3d
            padding = "same" if same_padding else 0
            layer = convolution(in_channels, out_channels, tuple(kernel), padding=padding)  # type: ignore[arg-type]
            layers += [layer, nn.ReLU(inplace=True)]
            in_channels = out_channels
        super().__init__(*layers)


class Upsample(nn.Sequential):
    """From a coarser level's feature maps to a finer one's."""

    def __init__(self, in_channels: int, out_channels: int, factor: Shape, constant: bool) -> None:
        flat = len(factor) == 2
        if constant:
            point = nn.Conv2d if flat else nn.Conv3d
            repeat = nn.Upsample(scale_factor=tuple(float(f) for f in factor))
            super().__init__(point(in_channels, out_channels, 1), repeat)
        else:
            transposed = nn.ConvTranspose2d if flat else nn.ConvTranspose3d
            step: Any = tuple(factor)
            super().__init__(transposed(in_channels, out_channels, step, step))


def _pool(factor: Shape) -> nn.Module:
    step: Any = tuple(factor)
    return nn.MaxPool2d(step) if len(step) == 2 else nn.MaxPool3d(step)


def _centre(x: Tensor, shape: torch.Size) -> Tensor:
    """The central part of the spatial axes."""
    for axis, size in enumerate(shape, start=2):
        x = x.narrow(axis, (x.shape[axis] - size) // 2, size)
    return x
