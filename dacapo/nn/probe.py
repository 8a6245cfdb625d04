"""The output shape of a network, found without computing anything."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import nn

_STEPS = (1, 2, 3, 4, 5, 6, 8, 9, 10, 12, 16, 18, 20, 24, 27, 32, 36, 48, 64, 96, 128)
"""Largest growth of an input that is tried, to find which sizes fit."""

DOES_NOT_FIT = (RuntimeError, ValueError, AssertionError, IndexError, TypeError)
"""Exceptions that networks raise for an input whose size does not fit."""


def output_shape(
    network: nn.Module, input_shape: Sequence[int], training: bool = False
) -> tuple[int, ...]:
    """Shape of the output for an input (B, C, *spatial); nothing is computed or changed.

    A copy of the network without weights runs on the meta device.
    """
    return _shape(_meta_copy(network).train(training), input_shape)


def num_activations(network: nn.Module, input_shape: Sequence[int]) -> int:
    """Numbers that all layers together give for an input (B, C, *spatial); nothing is computed."""
    meta_copy = _meta_copy(network).train()
    total = 0

    def count(layer: nn.Module, inputs: object, output: object) -> None:
        nonlocal total
        if isinstance(output, torch.Tensor):
            total += output.numel()

    for module in meta_copy.modules():
        if not list(module.children()):
            module.register_forward_hook(count)
    _shape(meta_copy, input_shape)
    return total


def steps(network: nn.Module, input_shape: Sequence[int]) -> list[tuple[int, int]]:
    """For each spatial axis the smallest growth of the input that makes the output grow, and that
    of the output.

    (0, 0) if none of the sizes that are tried fits.

    Args:
        input_shape: (B, C, *spatial), a shape that fits.
    """
    meta_copy = _meta_copy(network)
    known = _shape(meta_copy, input_shape)
    found = []
    for axis in range(2, len(input_shape)):
        growth = (0, 0)
        for step in _STEPS:
            larger = list(input_shape)
            larger[axis] += step
            try:
                out = _shape(meta_copy, larger)
            except DOES_NOT_FIT:
                continue
            grown = out[axis] - known[axis]
            if grown > 0 and (step % grown == 0 or grown % step == 0):
                growth = (step, grown)
                break
        found.append(growth)
    return found


def _meta_copy(network: nn.Module) -> nn.Module:
    """A copy in eval mode with its weights and buffers on the meta device."""
    meta_copy: dict[int, object] = {}
    for parameter in network.parameters():
        empty = torch.empty_like(parameter, device="meta")
        meta_copy[id(parameter)] = nn.Parameter(empty, requires_grad=False)
    for buffer in network.buffers():
        meta_copy[id(buffer)] = torch.empty_like(buffer, device="meta")
    return copy.deepcopy(network, meta_copy).eval()


def _shape(meta_copy: nn.Module, input_shape: Sequence[int]) -> tuple[int, ...]:
    with torch.no_grad():
        out = meta_copy(torch.empty(tuple(input_shape), device="meta"))
    if not isinstance(out, torch.Tensor):
        raise TypeError(f"the network gives a {type(out).__name__}, not one tensor")
    return tuple(out.shape)
