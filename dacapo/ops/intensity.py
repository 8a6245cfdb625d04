"""Intensities as a network wants them."""

from __future__ import annotations

from torch import Tensor


def to_signed_range(raw: Tensor) -> Tensor:
    """From 0..1 to -1..1."""
    return raw * 2 - 1
