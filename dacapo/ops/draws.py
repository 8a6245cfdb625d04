"""Random numbers as pure functions of a key, so that there is no state to save or restore."""

from __future__ import annotations

import zlib

import numpy as np


def generator(*key: int | str) -> np.random.Generator:
    """A generator that depends only on the key, such as (seed, iteration, sample, purpose)."""
    return np.random.default_rng(_entropy(key))


def seed(*key: int | str) -> int:
    """A 63-bit seed for torch that depends only on the key."""
    return int(np.random.SeedSequence(_entropy(key)).generate_state(1, np.uint64)[0]) >> 1


def _entropy(key: tuple[int | str, ...]) -> list[int]:
    return [zlib.crc32(part.encode()) if isinstance(part, str) else part for part in key]
