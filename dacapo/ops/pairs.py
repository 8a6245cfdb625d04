"""Counting pairs of labels."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

Bits = np.ndarray[Any, np.dtype[Any]]

_DENSE_CELLS = 2**22


def count_pairs(first: Bits, second: Bits, counted: Bits | None) -> tuple[Bits, Bits, Bits]:
    """The pairs of labels that occur, and how often.

    Small labels are counted in a table of all possible pairs, others in a hash table.

    Args:
        first, second: flat, unsigned.
        counted: true at voxels to count; None: everywhere.

    Returns:
        The two labels of each pair, and its number of voxels.
    """
    mask = np.zeros(0, np.bool_) if counted is None else counted
    if first.size == 0:
        return first, second, np.zeros(0, np.int64)
    rows, columns = int(first.max()) + 1, int(second.max()) + 1
    if rows * columns > max(_DENSE_CELLS, first.size):
        found: tuple[Bits, Bits, Bits] = _in_hash_table(first, second, mask, counted is not None)
        return found
    table, other = np.zeros((2, rows * columns), np.int64)
    _in_tables(first, second, mask, counted is not None, columns, table, other)
    table += other
    cells = np.flatnonzero(table)
    return *np.divmod(cells, columns), table[cells]


@numba.njit(cache=True, nogil=True)
def _in_tables(first, second, mask, masked, columns, table, other):  # type: ignore[no-untyped-def]
    """Alternate between two halves of the voxels, each with its own table.

    Neighbouring voxels mostly have the same pair, and incrementing the same cell repeatedly would
    stall until the previous count is written.
    """
    half = len(first) // 2
    for voxel in range(half):
        if not masked or mask[voxel]:
            table[np.int64(first[voxel]) * columns + np.int64(second[voxel])] += 1
        far = voxel + half
        if not masked or mask[far]:
            other[np.int64(first[far]) * columns + np.int64(second[far])] += 1
    for voxel in range(2 * half, len(first)):
        if not masked or mask[voxel]:
            table[np.int64(first[voxel]) * columns + np.int64(second[voxel])] += 1


@numba.njit(cache=True, nogil=True)
def _in_hash_table(first, second, mask, masked):  # type: ignore[no-untyped-def]
    """A hash table with open addressing; runs of equal pairs are looked up once."""
    size = 1 << 12
    slots = np.full(size, -1, np.int64)  # indices into the lists of pairs
    ones, others = np.empty(size // 2, np.uint64), np.empty(size // 2, np.uint64)
    counts = np.zeros(size // 2, np.int64)
    found = 0
    at = -1
    run = 0
    last_one, last_other = np.uint64(0), np.uint64(0)
    for voxel in range(len(first)):
        if masked and not mask[voxel]:
            continue
        one, other = np.uint64(first[voxel]), np.uint64(second[voxel])
        if at >= 0 and one == last_one and other == last_other:
            run += 1
            continue
        if at >= 0:
            counts[at] += run
        last_one, last_other, run = one, other, 1
        place = _place(slots, ones, others, one, other)
        at = slots[place]
        if at >= 0:
            continue
        if found == len(ones):
            size *= 2
            slots = np.full(size, -1, np.int64)
            ones, others, counts = _longer(ones), _longer(others), _longer(counts)
            for pair in range(found):
                slots[_place(slots, ones, others, ones[pair], others[pair])] = pair
            place = _place(slots, ones, others, one, other)
        at = found
        slots[place] = at
        ones[at], others[at] = one, other
        found += 1
    if at >= 0:
        counts[at] += run
    return ones[:found], others[:found], counts[:found]


@numba.njit(cache=True, nogil=True, inline="always")
def _place(slots, ones, others, one, other):  # type: ignore[no-untyped-def]
    """The slot of a pair in the hash table, or the slot where it would go."""
    bits = np.uint64(len(slots) - 1)
    mixed = (one * np.uint64(0x9E3779B97F4A7C15)) ^ (other * np.uint64(0xC2B2AE3D27D4EB4F))
    place = (mixed ^ (mixed >> np.uint64(29))) & bits
    while True:
        pair = slots[place]
        if pair < 0 or (ones[pair] == one and others[pair] == other):
            return place
        place = (place + np.uint64(1)) & bits


@numba.njit(cache=True, nogil=True)
def _longer(values):  # type: ignore[no-untyped-def]
    """The array at twice its length, padded with zeros."""
    out = np.zeros(2 * len(values), values.dtype)
    out[: len(values)] = values
    return out
