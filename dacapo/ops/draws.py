"""Random draws as pure functions of a key: nothing to save, nothing to restore."""

from __future__ import annotations

import zlib

import numpy as np


def generator(*key: int | str) -> np.random.Generator:
    """A generator that depends on the key alone: (seed, iteration, sample, purpose), say."""
    return np.random.default_rng(_entropy(key))


def seed(*key: int | str) -> int:
    """A seed of 63 bits for torch that depends on the key alone."""
    return int(np.random.SeedSequence(_entropy(key)).generate_state(1, np.uint64)[0] >> 1)


def _entropy(key: tuple[int | str, ...]) -> list[int]:
    return [zlib.crc32(part.encode()) if isinstance(part, str) else part for part in key]
