"""A U-Net with the shapes that blockwise prediction asks for."""

from __future__ import annotations

from collections.abc import Sequence

from funlib.geometry import Coordinate
from torch import Tensor

from dacapo.errors import InputError
from dacapo.experiments.architectures.architecture import Architecture
from dacapo.nn.geometry import UNetGeometry
from dacapo.nn.unet import UNet

Shape = Sequence[int]


class UNetArchitecture(Architecture):
    """See `UNetConfig` for the arguments."""

    def __init__(
        self,
        *,
        input_shape: Shape,
        eval_shape_increase: Shape,
        fmaps_in: int,
        fmaps_out: int,
        num_fmaps: int,
        fmap_inc_factor: int,
        downsample: Sequence[Shape],
        kernels_down: Sequence[Sequence[Shape]],
        kernels_up: Sequence[Sequence[Shape]],
        same_padding: bool,
        constant_upsample: bool,
        upsample_out: Sequence[Shape],
        norm: str | None,
        residual: bool,
        attention: bool,
        deep_supervision: bool,
    ) -> None:
        super().__init__()
        self._norm = norm
        self._input_shape = Coordinate(input_shape)
        self._eval_shape_increase = Coordinate(eval_shape_increase)
        self._channels = fmaps_in, fmaps_out
        self._geometry = UNetGeometry(
            downsample=downsample,
            kernels_down=kernels_down,
            kernels_up=kernels_up,
            same_padding=same_padding,
            upsample_out=upsample_out,
        )
        self._geometry.output_shape(input_shape)  # refuses a shape that does not fit
        self._geometry.output_shape(
            self._input_shape + self._eval_shape_increase,
            key="architecture.input_shape + architecture.eval_shape_increase",
        )
        self.unet = UNet(
            in_channels=fmaps_in,
            out_channels=fmaps_out,
            num_fmaps=num_fmaps,
            inc_factor=fmap_inc_factor,
            downsample=downsample,
            kernels_down=kernels_down,
            kernels_up=kernels_up,
            same_padding=same_padding,
            constant_upsample=constant_upsample,
            upsample_out=upsample_out,
            norm=norm,
            residual=residual,
            attention=attention,
            deep_supervision=deep_supervision,
        )

    @property
    def input_shape(self) -> Coordinate:
        return self._input_shape

    @property
    def eval_shape_increase(self) -> Coordinate:
        return self._eval_shape_increase

    @property
    def num_in_channels(self) -> int:
        return self._channels[0]

    @property
    def num_out_channels(self) -> int:
        return self._channels[1]

    @property
    def period(self) -> Coordinate:
        return Coordinate(self._geometry.period)

    @property
    def halo(self) -> Coordinate:
        return Coordinate(self._geometry.halo)

    def scale(self, input_voxel_size: Coordinate) -> Coordinate:
        size = input_voxel_size
        for factor in self._geometry.upsample_out:
            if not size.is_multiple_of(Coordinate(factor)):
                raise InputError(
                    f"architecture.upsample_factors: a voxel of {tuple(size)} world units (pm or "
                    f"1/1000 pixel) does not divide by {list(factor)}"
                )
            size = size / Coordinate(factor)
        return size

    def compute_output_shape(self, input_shape: Coordinate) -> Coordinate:
        return Coordinate(self._geometry.output_shape(input_shape))

    def smallest_input_shape(self, output_shape: Coordinate) -> Coordinate:
        return Coordinate(self._geometry.smallest_input(output_shape))

    @property
    def window_dependent(self) -> bool:
        return self._norm in ("instance", "group")

    def forward_with_aux(self, x: Tensor) -> list[Tensor]:
        return self.unet.forward_with_aux(x)

    def forward(self, x: Tensor) -> Tensor:
        """(B, fmaps_in, *spatial) -> (B, fmaps_out, *smaller)."""
        y: Tensor = self.unet(x)
        return y
