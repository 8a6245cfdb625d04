"""The residual encoder U-Net of nnU-Net as an architecture."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from dacapo.config import config, ranged
from dacapo.errors import InputError
from dacapo.experiments.architectures.wrapped import ProbedConfig

if TYPE_CHECKING:
    from dacapo.experiments.architectures.wrapped_architecture import WrappedArchitecture


class ActivationNorm(Enum):
    """Normalisation of activations after each convolution."""

    instance = "instance"
    group = "group"
    batch = "batch"


@config("architecture")
@dataclass(kw_only=True)
class ResidualEncoderConfig(ProbedConfig):
    """The residual encoder U-Net of nnU-Net (Isensee et al. 2024), which pads.

    Many feature maps and a large context, for large objects and large GPUs.
    """

    num_fmaps: int = ranged(32, low=1)
    """Feature maps of the finest level, and given to the head; they double from level to level."""
    max_fmaps: int = ranged(320, low=1)
    """Most feature maps of a level."""
    blocks: list[int] = ranged([1, 3, 4, 6, 6, 6], low=1)
    """Residual blocks of each level, finest first."""
    downsample_factors: list[list[int]] = ranged(low=1)
    """Strides between the levels, finest first, per axis: [[1, 2, 2], [2, 2, 2]]."""
    kernel_sizes: list[list[int]] | None = ranged(None, low=1)
    """Kernels of each level, finest first (default: 3 along each axis)."""
    norm: ActivationNorm = ActivationNorm.instance
    """Normalisation after each convolution. batch suits batches of several crops; with instance and
    group, predictions depend on the block size."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_axes("downsample_factors", *self.downsample_factors)
        self.check_axes("kernel_sizes", *self.kernels)
        if self.num_fmaps > self.max_fmaps:
            raise InputError(
                f"architecture.num_fmaps={self.num_fmaps} must not be greater than "
                f"architecture.max_fmaps={self.max_fmaps}"
            )
        levels = len(self.downsample_factors) + 1
        for key, given in (("blocks", self.blocks), ("kernel_sizes", self.kernels)):
            if len(given) != levels:
                raise InputError(
                    f"architecture.{key} needs {levels} levels, one more than "
                    f"architecture.downsample_factors; has {len(given)}"
                )
        even = [kernel for kernel in self.kernels if any(k % 2 == 0 for k in kernel)]
        if even:
            raise InputError(f"architecture.kernel_sizes: {even[0]} must hold odd numbers")

    @property
    def kernels(self) -> list[list[int]]:
        """The kernel of each level."""
        default = [[3] * self.dims] * (len(self.downsample_factors) + 1)
        return default if self.kernel_sizes is None else self.kernel_sizes

    @property
    def fmaps(self) -> list[int]:
        """The feature maps of each level."""
        levels = range(len(self.downsample_factors) + 1)
        return [min(self.max_fmaps, self.num_fmaps * 2**level) for level in levels]

    def build(self) -> WrappedArchitecture:
        from dacapo.nn.residual_encoder import ResidualEncoderUNet

        given = {
            "in_channels": self.fmaps_in,
            "fmaps": self.fmaps,
            "blocks": self.blocks,
            "kernels": self.kernels,
            "downsample": self.downsample_factors,
            "norm": self.norm.value,
        }
        return self.wrap(ResidualEncoderUNet, "resenc", given)
