"""A U-Net with the shapes that blockwise prediction needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from funlib.geometry import Coordinate
from torch import Tensor

from dacapo.experiments.architectures.architecture import Architecture
from dacapo.nn.unet import UNet

if TYPE_CHECKING:
    from dacapo.experiments.architectures.unet_config import UNetConfig


class UNetArchitecture(Architecture):
    """See `UNetConfig` for the options."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        self._geometry = config.geometry
        self.unet = UNet(
            self._geometry,
            in_channels=config.fmaps_in,
            out_channels=self.num_out_channels,
            num_fmaps=config.num_fmaps,
            inc_factor=config.fmap_inc_factor,
            constant_upsample=config.constant_upsample,
            norm=config.norm_name,
            residual=config.residual,
            attention=config.attention,
            deep_supervision=config.deep_supervision,
        )

    @property
    def input_shape(self) -> Coordinate:
        return Coordinate(self.config.input_shape)

    @property
    def eval_shape_increase(self) -> Coordinate:
        return Coordinate(self.config.increase)

    @property
    def num_in_channels(self) -> int:
        return self.config.fmaps_in

    @property
    def num_out_channels(self) -> int:
        return self.config.fmaps_out or self.config.num_fmaps

    @property
    def period(self) -> Coordinate:
        return Coordinate(self._geometry.period)

    @property
    def halo(self) -> Coordinate:
        return Coordinate(self._geometry.halo)

    @property
    def window_dependent(self) -> bool:
        return self.config.norm_name in ("instance", "group")

    def scale(self, input_voxel_size: Coordinate) -> Coordinate:
        return self.config.output_voxel_size(input_voxel_size)

    def compute_output_shape(self, input_shape: Coordinate) -> Coordinate:
        return Coordinate(self._geometry.output_shape(input_shape))

    def smallest_input_shape(self, output_shape: Coordinate) -> Coordinate:
        return Coordinate(self._geometry.smallest_input(output_shape))

    def forward_with_aux(self, x: Tensor) -> list[Tensor]:
        return self.unet.forward_with_aux(x)

    def forward(self, x: Tensor) -> Tensor:
        """(B, fmaps_in, *spatial) -> (B, fmaps_out, *smaller)."""
        y: Tensor = self.unet(x)
        return y
