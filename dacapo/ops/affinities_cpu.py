"""Balanced affinities on the CPU, in two passes over each channel."""

from __future__ import annotations

from collections.abc import Sequence

import numba
import numpy as np
import torch
from torch import Tensor


def balanced_affinities(
    labels: Tensor,
    mask: Tensor,
    offsets: Sequence[Sequence[int]],
    begin: Sequence[int],
    shape: Sequence[int],
    max_weight: float,
) -> tuple[Tensor, Tensor]:
    """See `dacapo.ops.affinities.balanced_affinities`; all volumes are (B, Z, Y, X)."""
    target = np.empty((labels.shape[0], len(offsets), *shape), np.float32)
    weight = np.empty_like(target)
    counts = np.zeros((*target.shape[:2], 2), np.int64)
    _affinities(
        labels.contiguous().numpy(), mask.contiguous().numpy(), np.array(offsets, np.int64),
        np.array(begin, np.int64), target, weight, counts,
    )  # fmt: skip
    _balance(target, weight, counts, max_weight)
    return torch.from_numpy(target), torch.from_numpy(weight)


@numba.njit(cache=True, nogil=True)
def _affinities(labels, mask, offsets, begin, target, weight, counts):  # type: ignore[no-untyped-def]
    """Write affinities, and 1 as the weight where they are known; count both."""
    num, depth, height, width = labels.shape
    for sample in range(num):
        for channel in range(len(offsets)):
            oz, oy, ox = offsets[channel]
            known = ones = np.int64(0)
            for z in range(target.shape[2]):
                for y in range(target.shape[3]):
                    az, ay = z + begin[0], y + begin[1]
                    bz, by = az + oz, ay + oy
                    t, w = target[sample, channel, z, y], weight[sample, channel, z, y]
                    if not (0 <= bz < depth and 0 <= by < height):
                        t[:] = 0
                        w[:] = 0
                        continue
                    here, there = labels[sample, az, ay], labels[sample, bz, by]
                    known_here, known_there = mask[sample, az, ay], mask[sample, bz, by]
                    first = min(max(0, -ox - begin[2]), len(t))
                    last = max(min(len(t), width - ox - begin[2]), first)
                    t[:first] = 0
                    w[:first] = 0
                    t[last:] = 0
                    w[last:] = 0
                    row_known = row_ones = np.int64(0)
                    for x in range(first, last):
                        a, b = x + begin[2], x + begin[2] + ox
                        both = np.int32(known_here[a] != 0) & np.int32(known_there[b] != 0)
                        same = np.int32(here[a] == there[b]) & np.int32(here[a] != 0)
                        row_known += both
                        row_ones += both & same
                        t[x] = np.float32(same)
                        w[x] = np.float32(both)
                    known += row_known
                    ones += row_ones
            counts[sample, channel, 0] = known
            counts[sample, channel, 1] = ones


@numba.njit(cache=True, nogil=True)
def _balance(target, weight, counts, max_weight):  # type: ignore[no-untyped-def]
    """See `dacapo.ops.weights.balance`."""
    num, channels, _, _, _ = target.shape
    for sample in range(num):
        for channel in range(channels):
            known, ones = counts[sample, channel]
            of_one = of_zero = np.float32(1)
            if 0 < ones < known:
                of_one = np.float32(min(max(known / (2 * ones), 1 / max_weight), max_weight))
                of_zero = np.float32(
                    min(max(known / (2 * (known - ones)), 1 / max_weight), max_weight)
                )
            t, w = target[sample, channel].reshape(-1), weight[sample, channel].reshape(-1)
            for i in range(len(t)):
                w[i] *= of_one if t[i] != 0 else of_zero
