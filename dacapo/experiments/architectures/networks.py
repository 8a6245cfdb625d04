"""Networks that a person's own script makes known by importing them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from torch import nn

N = TypeVar("N", bound="Callable[..., nn.Module]")

known: dict[str, Callable[..., nn.Module]] = {}


def network(make: N) -> N:
    """Offer a class or a function that makes an `nn.Module` to `architecture=wrapped`.

    It is found by its own name, and called with `architecture.arguments`. The module takes
    (B, C, *spatial) and gives one tensor of feature maps (B, C', *spatial).
    """
    known[make.__name__] = make
    return make
