"""Any network as an architecture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dacapo.config import config
from dacapo.errors import InputError
from dacapo.experiments.architectures.architecture_config import ArchitectureConfig
from dacapo.experiments.architectures.networks import known

if TYPE_CHECKING:
    from torch import nn

    from dacapo.experiments.architectures.wrapped_architecture import WrappedArchitecture

# What networks raise for arguments that they do not know or cannot use.
_WRONG_ARGUMENTS = (
    TypeError, ValueError, AssertionError, RuntimeError, LookupError, AttributeError,
)  # fmt: skip


@dataclass(kw_only=True)
class NetworkConfig(ArchitectureConfig):
    """A network that says nothing of its own shapes: they are found out."""

    input_shape: list[int]
    """Voxels of raw that one training sample shows the network, an axis."""
    eval_shape_increase: list[int] | None = None
    """Voxels added to input_shape in prediction."""
    fmaps_in: int = 1
    """Channels of raw."""
    arguments: dict[str, Any] = field(default_factory=dict)
    """What else the network is made with, by name."""
    period: list[int] | None = None
    """Blocks must start at multiples of this many voxels (default: the least growth of the input
    that fits, an axis)."""
    halo: list[int] | None = None
    """Voxels along each side of a block whose prediction is not used, because padding is felt
    there (default: an eighth of input_shape where the output is as large as the input, else 0)."""

    def __post_init__(self) -> None:
        dims = len(self.input_shape)
        if dims not in (2, 3) or min(self.input_shape) < 1:
            raise InputError(
                f"architecture.input_shape={self.input_shape}: give 2 or 3 positive sizes in voxels"
            )
        if self.fmaps_in < 1:
            raise InputError(f"architecture.fmaps_in={self.fmaps_in} must be at least 1")
        for key, least in (("eval_shape_increase", 0), ("period", 1), ("halo", 0)):
            value = getattr(self, key)
            if value is not None and (len(value) != dims or min(value) < least):
                raise InputError(
                    f"architecture.{key}={value}: give {dims} sizes of {least} or more, in voxels"
                )

    def wrap(
        self, make: Callable[..., nn.Module], name: str, arguments: dict[str, Any]
    ) -> WrappedArchitecture:
        """The network, made and looked at.

        Raises:
            InputError: it cannot be made with these arguments, or does not take these shapes.
        """
        from dacapo.experiments.architectures.wrapped_architecture import WrappedArchitecture

        try:
            made = make(**arguments)
        except _WRONG_ARGUMENTS as error:
            raise InputError(
                f"architecture={name} cannot be made with {arguments}: {error}"
            ) from error
        return WrappedArchitecture(
            made,
            name,
            input_shape=self.input_shape,
            eval_shape_increase=self.eval_shape_increase or [0] * len(self.input_shape),
            fmaps_in=self.fmaps_in,
            period=self.period,
            halo=self.halo,
        )


@config("architecture")
@dataclass(kw_only=True)
class WrappedConfig(NetworkConfig):
    """A network of your own: a class of your script below `@network`."""

    network: str
    """Its name."""

    def build(self) -> WrappedArchitecture:
        if self.network not in known:
            raise InputError(
                f"architecture.network={self.network}: no such network is known, there are "
                f"{', '.join(sorted(known)) or 'none'}; put @network of "
                f"dacapo.experiments.architectures above its class, and import it in the script "
                f"that calls dacapo.train.main"
            )
        return self.wrap(known[self.network], self.network, self.arguments)
