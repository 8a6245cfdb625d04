"""Any network as an architecture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from dacapo.config import config, ranged
from dacapo.errors import InputError
from dacapo.experiments.architectures.architecture_config import ShapedConfig

if TYPE_CHECKING:
    from torch import nn

    from dacapo.experiments.architectures.wrapped_architecture import WrappedArchitecture

N = TypeVar("N", bound="Callable[..., nn.Module]")

networks: dict[str, Callable[..., nn.Module]] = {}
"""Those that a user's own script makes known by importing them."""

# What networks raise for arguments that they do not know or cannot use.
_WRONG_ARGUMENTS = (
    TypeError, ValueError, AssertionError, RuntimeError, LookupError, AttributeError,
)  # fmt: skip


def network(make: N) -> N:
    """Offer a class or a function that makes an `nn.Module` to `architecture=wrapped`.

    It is found by its own name, and called with `architecture.arguments`. The module takes
    (B, C, *spatial) and gives one tensor of feature maps (B, C', *spatial).
    """
    networks[make.__name__] = make
    return make


@dataclass(kw_only=True)
class NetworkConfig(ShapedConfig):
    """A network that does not state its own shapes: they are found by probing it."""

    arguments: dict[str, Any] = field(default_factory=dict)
    """What else the network is made with, by name."""
    period: list[int] | None = ranged(None, low=1)
    """Blocks must start at multiples of this many voxels (default: the smallest growth of the input
    that fits, per axis)."""
    halo: list[int] | None = ranged(None, low=0)
    """Voxels along each side of a block whose prediction is not used, because padding is felt
    there (default: an eighth of input_shape where the output is as large as the input, else 0)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_axes("period", self.period)
        self.check_axes("halo", self.halo)

    def wrap(
        self, make: Callable[..., nn.Module], name: str, arguments: dict[str, Any]
    ) -> WrappedArchitecture:
        """The network, made and probed.

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
        return WrappedArchitecture(made, name, self)


@config("architecture")
@dataclass(kw_only=True)
class WrappedConfig(NetworkConfig):
    """A network of your own: a class of your script below `@network`."""

    network: str
    """Its name."""

    def build(self) -> WrappedArchitecture:
        if self.network not in networks:
            raise InputError(
                f"architecture.network={self.network}: no such network is known, there are "
                f"{', '.join(sorted(networks)) or 'none'}; put @network of "
                f"dacapo.experiments.architectures above its class, and import it in the script "
                f"that calls dacapo.train.main"
            )
        return self.wrap(networks[self.network], self.network, self.arguments)
