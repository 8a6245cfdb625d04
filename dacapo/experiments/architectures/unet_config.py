"""U-Net as an architecture."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from dacapo.config import config, ranged
from dacapo.errors import InputError
from dacapo.experiments.architectures.architecture_config import ShapedConfig
from dacapo.nn.geometry import UNetGeometry

if TYPE_CHECKING:
    from funlib.geometry import Coordinate

    from dacapo.experiments.architectures.unet_architecture import UNetArchitecture


class Padding(Enum):
    """Padding of convolutions at the border."""

    valid = "valid"
    same = "same"


class Norm(Enum):
    """Normalisation after each convolution."""

    none = "none"
    batch = "batch"
    instance = "instance"
    group = "group"


@config("architecture")
@dataclass(kw_only=True)
class UNetConfig(ShapedConfig):
    """A U-Net; the length of input_shape decides between 2D and 3D."""

    fmaps_out: int | None = ranged(None, low=1)
    """Feature maps given to the head (default: num_fmaps)."""
    num_fmaps: int = ranged(8, low=1)
    """Feature maps of the finest level."""
    fmap_inc_factor: int = ranged(3, low=1)
    """Growth of the feature maps from level to level."""
    downsample_factors: list[list[int]] = ranged(low=1)
    """Pooling between the levels, finest first, per axis: [[1, 2, 2], [2, 2, 2]]."""
    kernel_size_down: list[list[list[int]]] | None = ranged(None, low=1)
    """Kernels of each convolution of each level going down (default: two of 3 along each axis)."""
    kernel_size_up: list[list[list[int]]] | None = ranged(None, low=1)
    """Kernels of each convolution of each level going up, one level fewer."""
    padding: Padding = Padding.valid
    """valid: the output is smaller, and exact everywhere; same: as large as the input, and less
    accurate near its border."""
    constant_upsample: bool = True
    """Upsample by repeating voxels; otherwise by transposed convolutions."""
    upsample_factors: list[list[int]] = ranged([], low=1)
    """Further upsampling after the last level, for an output finer than raw."""
    norm: Norm = Norm.batch
    """Normalisation after each convolution. Without any, most channels of wide networks die; with
    instance and group, predictions depend on the block size, which is measured and reported."""
    residual: bool = False
    """Residual connections around the convolutions of each level."""
    attention: bool = False
    """Attention gates on the skip connections (attention U-Net)."""
    deep_supervision: bool = False
    """During training, coarser levels predict too; the loss of each level has half the weight of
    the next finer one."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.upsample_factors and not self.downsample_factors:
            raise InputError("architecture.upsample_factors needs architecture.downsample_factors")
        if self.deep_supervision and len(self.downsample_factors) < 2:
            raise InputError(
                "architecture.deep_supervision needs two or more architecture.downsample_factors: "
                "neither the finest nor the coarsest level has a loss of its own"
            )
        self.check_axes("downsample_factors", *self.downsample_factors)
        self.check_axes("upsample_factors", *self.upsample_factors)
        levels = len(self.downsample_factors)
        for key, kernels, num in (
            ("kernel_size_down", self.kernels_down, levels + 1),
            ("kernel_size_up", self.kernels_up, levels),
        ):
            if len(kernels) != num:
                raise InputError(f"architecture.{key} needs {num} levels, has {len(kernels)}")
            for level in kernels:
                self.check_axes(key, *level)
        self.geometry.output_shape(self.input_shape)  # refuses a shape that does not fit
        self.geometry.output_shape(
            [i + e for i, e in zip(self.input_shape, self.increase, strict=True)],
            key="architecture.input_shape + architecture.eval_shape_increase",
        )

    @property
    def geometry(self) -> UNetGeometry:
        """The shapes of the network."""
        return UNetGeometry(
            downsample=self.downsample_factors,
            kernels_down=self.kernels_down,
            kernels_up=self.kernels_up,
            same_padding=self.padding is Padding.same,
            upsample_out=self.upsample_factors,
        )

    def output_voxel_size(self, input_voxel_size: Coordinate) -> Coordinate:
        size = input_voxel_size
        for factor in self.upsample_factors:
            if any(s % f for s, f in zip(size, factor, strict=True)):
                raise InputError(
                    f"architecture.upsample_factors: a voxel of {tuple(size)} world units (pm or "
                    f"1/1000 pixel) does not divide by {list(factor)}"
                )
            size = size / type(size)(factor)
        return size

    @property
    def norm_name(self) -> str | None:
        """The normalisation after each convolution; None: no normalisation."""
        return None if self.norm is Norm.none else self.norm.value

    @property
    def kernels_down(self) -> list[list[list[int]]]:
        """The kernel of each convolution of each level going down."""
        levels = len(self.downsample_factors) + 1
        default = [[[3] * self.dims] * 2] * levels
        return default if self.kernel_size_down is None else self.kernel_size_down

    @property
    def kernels_up(self) -> list[list[list[int]]]:
        """The kernel of each convolution of each level going up."""
        levels = len(self.downsample_factors)
        default = [[[3] * self.dims] * 2] * levels
        return default if self.kernel_size_up is None else self.kernel_size_up

    def build(self) -> UNetArchitecture:
        from dacapo.experiments.architectures.unet_architecture import UNetArchitecture

        return UNetArchitecture(self)
