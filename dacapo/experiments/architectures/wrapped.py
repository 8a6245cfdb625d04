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
"""Networks that a user's script has registered."""

# Exceptions of networks for unknown or unusable arguments.
_WRONG_ARGUMENTS = (
    TypeError, ValueError, AssertionError, RuntimeError, LookupError, AttributeError,
)  # fmt: skip


def network(make: N) -> N:
    """Register a class or function that builds an `nn.Module` for `architecture=wrapped`.

    It is found by its name and called with `architecture.arguments`. The module takes (B, C,
    *spatial) and returns one tensor of feature maps (B, C', *spatial).
    """
    networks[make.__name__] = make
    return make


@dataclass(kw_only=True)
class ProbedConfig(ShapedConfig):
    """A network that does not state its shapes; they are found by probing it."""

    period: list[int] | None = ranged(None, low=1)
    """Blocks must start at multiples of this many voxels (default: the smallest growth of the input
    that fits, per axis)."""
    halo: list[int] | None = ranged(None, low=0)
    """Voxels along each side of a block whose prediction is discarded, because padding affects it
    (default: an eighth of input_shape if the output is as large as the input, else 0)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_axes("period", self.period)
        self.check_axes("halo", self.halo)

    def wrap(
        self, make: Callable[..., nn.Module], name: str, arguments: dict[str, Any]
    ) -> WrappedArchitecture:
        """Build and probe the network.

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


@dataclass(kw_only=True)
class NetworkConfig(ProbedConfig):
    """A network of others."""

    arguments: dict[str, Any] = field(default_factory=dict)
    """Further keyword arguments of the network."""


@config("architecture")
@dataclass(kw_only=True)
class WrappedConfig(NetworkConfig):
    """Your own network: a class in your script, decorated with `@network`."""

    network: str
    """Name of the decorated class or function."""

    def build(self) -> WrappedArchitecture:
        if self.network not in networks:
            raise InputError(
                f"architecture.network={self.network}: unknown network; registered are "
                f"{', '.join(sorted(networks)) or 'none'}. Decorate its class with @network of "
                f"dacapo.experiments.architectures, and import it in the script that calls "
                f"dacapo.train.main"
            )
        return self.wrap(networks[self.network], self.network, self.arguments)
