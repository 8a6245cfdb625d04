"""Unsigned integers of more than 8 bits, for which torch has few operations."""

from __future__ import annotations

import fastremap
import numpy as np
import torch
from torch import Tensor

_SIGNED = {torch.uint16: torch.int16, torch.uint32: torch.int32, torch.uint64: torch.int64}
_WIDER = {torch.uint16: (torch.int32, 2**16 - 1), torch.uint32: (torch.int64, 2**32 - 1)}


def same_bits(values: Tensor) -> Tensor:
    """A view with a type that all operations know, in which equal numbers stay equal."""
    return values.view(_SIGNED.get(values.dtype, values.dtype))


def as_signed(values: Tensor) -> Tensor:
    """The same numbers in a type that all operations know; numbers from 2^63 on become negative."""
    if values.dtype not in _WIDER:
        return same_bits(values)
    wider, bits = _WIDER[values.dtype]
    return same_bits(values).to(wider) & bits


def equal_to(values: Tensor, number: int) -> Tensor:
    """Where values are a number, which their type may not be able to hold."""
    signed = as_signed(values)
    if values.dtype == torch.uint64:
        possible = 0 <= number < 2**64
        number -= 2**64 if number >= 2**63 else 0
    else:
        info = torch.iinfo(signed.dtype)
        possible = info.min <= number <= info.max
    return signed == number if possible else torch.zeros_like(signed, dtype=torch.bool)


def as_float(values: Tensor) -> Tensor:
    """float32."""
    return as_signed(values).float()


def small_ids(labels: Tensor) -> Tensor:
    """Labels of any size as int32, equal where they were equal and 0 where they were 0.

    On a GPU, 64 bits stay int64, which costs less there than renumbering.
    """
    if labels.dtype.itemsize < 4:
        return as_signed(labels).to(torch.int32)
    if labels.dtype.itemsize == 4 or labels.device.type != "cpu":
        return same_bits(labels)
    values = labels.numpy()
    if values.size and values.min() >= 0 and values.max() < 2**31:
        return torch.from_numpy(values.astype(np.int32))
    renumbered, _ = fastremap.renumber(values, preserve_zero=True)
    return torch.from_numpy(np.asarray(renumbered, np.int32))
