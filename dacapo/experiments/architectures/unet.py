"""U-Net as an architecture."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from dacapo.config import config
from dacapo.errors import InputError
from dacapo.experiments.architectures.architecture_config import ArchitectureConfig

if TYPE_CHECKING:
    from dacapo.experiments.architectures.unet_architecture import UNetArchitecture


class Padding(Enum):
    """What convolutions do at the border."""

    valid = "valid"
    same = "same"


class Norm(Enum):
    """What follows each convolution."""

    none = "none"
    batch = "batch"
    instance = "instance"
    group = "group"


@config("architecture")
@dataclass(kw_only=True)
class UNetConfig(ArchitectureConfig):
    """A U-Net, 2D or 3D by the length of input_shape."""

    input_shape: list[int]
    """Voxels of raw that one training sample shows the network, an axis."""
    eval_shape_increase: list[int] | None = None
    """Voxels added to input_shape in prediction: larger blocks waste less on their borders."""
    fmaps_in: int = 1
    """Channels of raw."""
    fmaps_out: int | None = None
    """Feature maps given to the head (default: num_fmaps)."""
    num_fmaps: int = 12
    """Feature maps of the finest level."""
    fmap_inc_factor: int = 3
    """Growth of the feature maps from level to level."""
    downsample_factors: list[list[int]]
    """Pooling between the levels, finest first, an axis: [[1, 2, 2], [2, 2, 2]]."""
    kernel_size_down: list[list[list[int]]] | None = None
    """Kernels of each convolution of each level going down (default: two of 3 along each axis)."""
    kernel_size_up: list[list[list[int]]] | None = None
    """The same going up, one level fewer."""
    padding: Padding = Padding.valid
    """`valid`: outputs are exact and smaller; `same`: as large as the input, less exact there."""
    constant_upsample: bool = True
    """Repeat voxels going up; otherwise transposed convolutions."""
    upsample_factors: list[list[int]] = field(default_factory=list)
    """Further upsampling after the last level, for an output finer than raw."""
    norm: Norm = Norm.none
    """What follows each convolution. none; batch: for batches of some size; instance, group:
    predictions then depend on the size of blocks, which is measured and said."""
    residual: bool = False
    """The convolutions of a level add to what they are given."""
    attention: bool = False
    """Gates on the skip connections (attention U-Net)."""
    deep_supervision: bool = False
    """Coarser levels predict too, in training alone; their losses count half as much a level."""

    def __post_init__(self) -> None:
        dims = len(self.input_shape)
        if dims not in (2, 3) or min(self.input_shape) < 1:
            raise InputError(
                f"architecture.input_shape={self.input_shape}: give 2 or 3 positive sizes in voxels"
            )
        for key in ("fmaps_in", "num_fmaps", "fmap_inc_factor"):
            if getattr(self, key) < 1:
                raise InputError(f"architecture.{key}={getattr(self, key)} must be at least 1")
        if self.fmaps_out is not None and self.fmaps_out < 1:
            raise InputError(f"architecture.fmaps_out={self.fmaps_out} must be at least 1")
        if self.upsample_factors and not self.downsample_factors:
            raise InputError("architecture.upsample_factors needs architecture.downsample_factors")
        if self.deep_supervision and len(self.downsample_factors) < 2:
            raise InputError(
                "architecture.deep_supervision needs two or more architecture.downsample_factors: "
                "neither the finest nor the coarsest level has a loss of its own"
            )
        for key in ("downsample_factors", "upsample_factors"):
            self._check(key, getattr(self, key))
        levels = len(self.downsample_factors)
        for key, num in (("kernel_size_down", levels + 1), ("kernel_size_up", levels)):
            kernels = getattr(self, key)
            if kernels is None:
                kernels = [[[3] * dims] * 2] * num
            if len(kernels) != num:
                raise InputError(f"architecture.{key} needs {num} levels, has {len(kernels)}")
            for level in kernels:
                self._check(key, level)
        increase = self.eval_shape_increase or [0] * dims
        if len(increase) != dims or min(increase) < 0:
            raise InputError(
                f"architecture.eval_shape_increase={increase}: "
                f"give {dims} sizes of 0 or more, in voxels"
            )

    def _check(self, key: str, factors: list[list[int]]) -> None:
        for factor in factors:
            if len(factor) != len(self.input_shape) or min(factor) < 1:
                raise InputError(
                    f"architecture.{key}: {factor} must hold {len(self.input_shape)} positive "
                    f"numbers, one an axis of input_shape={self.input_shape}"
                )

    def build(self) -> UNetArchitecture:
        from dacapo.experiments.architectures.unet_architecture import UNetArchitecture

        dims = len(self.input_shape)
        two = [[3] * dims] * 2
        levels = len(self.downsample_factors)
        return UNetArchitecture(
            input_shape=self.input_shape,
            eval_shape_increase=self.eval_shape_increase or [0] * dims,
            fmaps_in=self.fmaps_in,
            fmaps_out=self.fmaps_out or self.num_fmaps,
            num_fmaps=self.num_fmaps,
            fmap_inc_factor=self.fmap_inc_factor,
            downsample=self.downsample_factors,
            kernels_down=self.kernel_size_down or [two] * (levels + 1),
            kernels_up=self.kernel_size_up or [two] * levels,
            same_padding=self.padding is Padding.same,
            constant_upsample=self.constant_upsample,
            upsample_out=self.upsample_factors,
            norm=None if self.norm is Norm.none else self.norm.value,
            residual=self.residual,
            attention=self.attention,
            deep_supervision=self.deep_supervision,
        )
