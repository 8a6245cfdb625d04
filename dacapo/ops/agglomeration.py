"""Watershed fragments, and their hierarchical agglomeration by affinities (waterz)."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import edt
import numpy as np
from scipy.ndimage import maximum_filter

from dacapo.ops.components import components
from dacapo.ops.watershed import seeded_watershed

Array = np.ndarray[Any, np.dtype[Any]]

QUANTILES = (10, 15, 20, 25, 30, 35, 40, 45, 50, 55, 60, 65, 70, 75, 80, 85, 90, 95)
"""Those that waterz brings compiled."""


def fragments(affinities: Array, threshold: float = 0.5, flat: bool = False) -> Array:
    """Watershed of the distance to where the mean affinity is low. Funke et al. 2019.

    Args:
        affinities: (dims, *spatial) in [0, 1], each to the next voxel along its axis.
        threshold: mean affinities above it are inside of something.
        flat: no fragment reaches from one section to the next.

    Returns:
        (*spatial) uint64, from 1; 0 where the mean affinity is low.
    """
    if flat and affinities.ndim == 4:
        out = np.zeros(affinities.shape[1:], np.uint64)
        for z in range(len(out)):
            section = fragments(affinities[1:, z], threshold)
            out[z] = np.where(section != 0, section + out.max(), 0)
        return out
    inside = _mean(affinities) > threshold
    distance = edt.edt(inside, black_border=False)
    distance[~np.isfinite(distance)] = max(distance.shape)
    peaks = inside & (maximum_filter(distance, 3) == distance)
    seeds = components(peaks)
    return seeded_watershed(distance, seeds, inside).astype(np.uint64)


def agglomerate(
    affinities: Array, fragments: Array, thresholds: Sequence[float], quantile: int | None = None
) -> Iterator[Array]:
    """Merge fragments until no two that touch have an affinity above 1 - threshold.

    Args:
        affinities: (dims, *spatial) in [0, 1], each to the next voxel along its axis.
        fragments: (*spatial), 0 outside.
        thresholds: in rising order, all from one agglomeration.
        quantile: of the affinities between two segments, one of `QUANTILES`; None: their mean.

    Returns:
        For each threshold a segmentation (*spatial) uint32.
    """
    import waterz

    mean = "OneMinus<MeanAffinity<RegionGraphType, ScoreValue>>"
    scorer = f"OneMinus<HistogramQuantileAffinity<RegionGraphType, {quantile}, ScoreValue, 256>>"
    results = waterz.agglomerate(
        _to_previous(affinities),
        list(thresholds),
        fragments=np.ascontiguousarray(fragments, np.uint64).reshape(_in_3d(fragments.shape)),
        scoring_function=mean if quantile is None else scorer,
    )
    for _ in thresholds:
        with _silence():
            segments = np.asarray(next(results))
        yield segments.reshape(fragments.shape).astype(np.uint32)


def _mean(affinities: Array) -> Array:
    """Of each voxel's affinities to all its face neighbours."""
    total = np.zeros(affinities.shape[1:], np.float32)
    count = np.zeros(affinities.shape[1:], np.float32)
    for axis, affinity in enumerate(affinities):
        here = [slice(None)] * total.ndim
        there = [slice(None)] * total.ndim
        here[axis], there[axis] = slice(None, -1), slice(1, None)
        for side in (tuple(here), tuple(there)):
            total[side] += affinity[tuple(here)]
            count[side] += 1
    return total / np.maximum(count, 1)


def _to_previous(affinities: Array) -> Array:
    """Three channels, each to the voxel before, as waterz wants them."""
    missing = 4 - affinities.ndim
    out = np.zeros((3, *_in_3d(affinities.shape[1:])), np.float32)
    for axis, affinity in enumerate(affinities, start=missing):
        here, there = [slice(None)] * 3, [slice(None)] * 3
        here[axis], there[axis] = slice(None, -1), slice(1, None)
        out[axis][tuple(there)] = affinity.reshape(out.shape[1:])[tuple(here)]
    return out


def _in_3d(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (1,) * (3 - len(shape)) + tuple(shape)


@contextmanager
def _silence() -> Iterator[None]:
    """No output of C++ code on standard output; it has no other switch."""
    sys.stdout.flush()
    saved = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        yield
        ctypes.CDLL(None).fflush(None)
    finally:
        os.dup2(saved, 1)
        os.close(saved)
        os.close(nowhere)
