"""What a network makes of a shape, found out without weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.func import functional_call

_STEPS = (1, 2, 3, 4, 5, 6, 8, 9, 10, 12, 16, 18, 20, 24, 27, 32, 36, 48, 64, 96, 128)
"""By how much larger an input is tried, to find which sizes fit."""

DOES_NOT_FIT = (RuntimeError, ValueError, AssertionError, IndexError, TypeError)
"""What networks raise for an input whose size does not fit."""


def output_shape(network: nn.Module, input_shape: Sequence[int]) -> tuple[int, ...]:
    """Shape of the output for an input (B, C, *spatial); nothing is computed or changed.

    The network runs on the meta device in eval mode, with stand-ins for its weights.
    """
    state = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    stand_ins = {k: torch.empty_like(v, device="meta") for k, v in state.items()}
    x = torch.empty(tuple(input_shape), device="meta")
    with torch.no_grad(), _eval_mode(network):
        out: Tensor = functional_call(network, stand_ins, (x,))
    if not isinstance(out, Tensor):
        raise TypeError(f"the network gives a {type(out).__name__}, not one tensor")
    return tuple(out.shape)


def steps(network: nn.Module, input_shape: Sequence[int]) -> list[tuple[int, int]]:
    """For each spatial axis the least growth of the input that makes the output grow, and by what.

    (0, 0) where none of those that are tried fits.

    Args:
        input_shape: (B, C, *spatial), which fits.
    """
    known = output_shape(network, input_shape)
    found = []
    for axis in range(2, len(input_shape)):
        growth = (0, 0)
        for step in _STEPS:
            larger = list(input_shape)
            larger[axis] += step
            try:
                out = output_shape(network, larger)
            except DOES_NOT_FIT:
                continue
            grown = out[axis] - known[axis]
            if grown > 0 and (step % grown == 0 or grown % step == 0):
                growth = (step, grown)
                break
        found.append(growth)
    return found


@contextmanager
def _eval_mode(module: nn.Module) -> Iterator[None]:
    """Eval mode inside; afterwards every submodule in the mode it was in."""
    modes = [(m, m.training) for m in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for submodule, mode in modes:
            submodule.training = mode
