"""A network whose shapes are found by probing."""

from __future__ import annotations

from math import lcm
from typing import TYPE_CHECKING

from funlib.geometry import Coordinate
from torch import Tensor, nn

from dacapo.errors import InputError
from dacapo.experiments.architectures.architecture import Architecture
from dacapo.nn import probe

if TYPE_CHECKING:
    from dacapo.experiments.architectures.wrapped import ProbedConfig


class WrappedArchitecture(Architecture):
    """See `ProbedConfig` for the options.

    Raises:
        InputError: the network does not take these shapes.
    """

    def __init__(self, network: nn.Module, name: str, config: ProbedConfig) -> None:
        super().__init__()
        self.network = network
        self.config = config
        self._name = name
        self._hint = " (architecture.arguments)" if hasattr(config, "arguments") else ""
        out = self._probe(self.input_shape)
        self._fmaps_out, self._output_shape = out[1], Coordinate(out[2:])
        self._check_training(out)
        shape = config.input_shape
        self._steps = probe.steps(network, (1, config.fmaps_in, *shape))
        sizes = list(zip(shape, out[2:], self._steps, strict=True))
        # It pads if the output covers the same region as the input, whatever its voxel size.
        padded = [m * step == n * grown if step else True for n, m, (step, grown) in sizes]
        default = [n // 8 if p else 0 for n, p in zip(shape, padded, strict=True)]
        self._period = Coordinate(
            [step or n for (step, _), n in zip(self._steps, shape, strict=True)]
            if config.period is None
            else [
                lcm(p, step or 1) for p, (step, _) in zip(config.period, self._steps, strict=True)
            ]
        )
        voxels = [max(1, step // grown) if grown else 1 for step, grown in self._steps]
        wanted = default if config.halo is None else config.halo
        self._halo = Coordinate(-(-h // v) * v for h, v in zip(wanted, voxels, strict=True))
        self._is_exact = config.halo is not None or not any(padded)
        self.compute_output_shape(self.input_shape + self.eval_shape_increase)

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
        return self._fmaps_out

    @property
    def period(self) -> Coordinate:
        return self._period

    @property
    def halo(self) -> Coordinate:
        return self._halo

    @property
    def window_dependent(self) -> bool:
        """The receptive field of such a network is unknown, unless `halo` is given."""
        return not self._is_exact

    def scale(self, input_voxel_size: Coordinate) -> Coordinate:
        sizes = []
        for size, (step, grown), n, m in zip(
            input_voxel_size, self._steps, self.input_shape, self._output_shape, strict=True
        ):
            # If no other size fits, input and output must cover the same region.
            larger, smaller = (step, grown) if step else (n, m)
            if size * larger % smaller:
                raise InputError(
                    f"architecture={self._name}: a voxel of {size} world units (pm or 1/1000 "
                    f"pixel) cannot become {larger}/{smaller} of that"
                )
            sizes.append(size * larger // smaller)
        return Coordinate(sizes)

    def compute_output_shape(self, input_shape: Coordinate) -> Coordinate:
        return Coordinate(self._probe(input_shape)[2:])

    def smallest_input_shape(self, output_shape: Coordinate) -> Coordinate:
        """Never smaller than in training, because a smaller size may not fit."""
        shape = []
        for wanted, have, n, (step, grown) in zip(
            output_shape, self._output_shape, self.input_shape, self._steps, strict=True
        ):
            more = max(0, -(-(wanted - have) // grown)) if grown else 0
            shape.append(n + more * step)
        return Coordinate(shape)

    def forward(self, x: Tensor) -> Tensor:
        """(B, fmaps_in, *spatial) -> (B, C, *spatial)."""
        y: Tensor = self.network(x)
        return y

    def _check_training(self, out: tuple[int, ...]) -> None:
        """Check that the network returns the same shape in train mode, where it may have more
        outputs."""
        shape = (2, self.config.fmaps_in, *self.input_shape)
        try:
            trained = probe.output_shape(self.network, shape, training=True)
        except probe.DOES_NOT_FIT as error:
            reason = str(error).splitlines()[0]
            raise InputError(
                f"architecture={self._name}: the network does not train on "
                f"{list(self.input_shape)} voxels{self._hint}: {reason}"
            ) from error
        if trained[1:] != out[1:]:
            raise InputError(
                f"architecture={self._name}: in training the network gives {list(trained)} and "
                f"else {list(out)}; it must give one output{self._hint}"
            )

    def _probe(self, input_shape: Coordinate) -> tuple[int, ...]:
        try:
            out = probe.output_shape(self.network, (1, self.config.fmaps_in, *input_shape))
        except ImportError as error:
            raise InputError(f"architecture={self._name}: {str(error).splitlines()[0]}") from error
        except probe.DOES_NOT_FIT as error:
            raise InputError(
                f"architecture={self._name}: the network does not take {self.config.fmaps_in} "
                f"channels of {list(input_shape)} voxels (architecture.input_shape, "
                f"architecture.eval_shape_increase): {str(error).splitlines()[0]}"
            ) from error
        if len(out) != len(input_shape) + 2:
            raise InputError(
                f"architecture={self._name}: the network gives {list(out)} for an input of "
                f"{list(input_shape)} voxels; it must give (batch, channels, *spatial)"
            )
        return out
