"""Watershed fragments, and their hierarchical agglomeration by affinities (waterz)."""

from __future__ import annotations

import ctypes
import io
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

QUANTILES = (10, 15, 20, 25, 30, 35, 40, 45, 50, 55, 60, 65, 70, 75, 80, 85, 90, 95)
"""Quantiles that waterz has compiled; others would need a compiler at run time."""

_MEAN = "OneMinus<MeanAffinity<RegionGraphType, ScoreValue>>"
_QUANTILE = "OneMinus<HistogramQuantileAffinity<RegionGraphType, {}, ScoreValue, 256>>"


def fragments(
    affinities: Array, low: float = 0.1, high: float = 0.999, per_section: bool = False
) -> Array:
    """Watershed on an affinity graph. Zlateski and Seung 2015.

    Args:
        affinities: (dims, *spatial) in [0, 1], each to the next voxel along its axis.
        low: affinities below it are ignored; a voxel without others is background.
        high: voxels with an affinity above it are joined immediately.
        per_section: no fragment reaches from one section to the next.

    Returns:
        (*spatial) uint64, from 1; 0 in the background.
    """
    channels = _to_previous(affinities)
    if per_section:
        channels[0] = 0
    (parts,) = _run(
        channels, [0.0], aff_threshold_low=low, aff_threshold_high=high, scoring_function=_MEAN
    )
    return np.array(parts).reshape(affinities.shape[1:])


def agglomerate(
    affinities: Array, fragments: Array, thresholds: Sequence[float], quantile: int | None = None
) -> Iterator[Array]:
    """Merge fragments until no two that touch have an affinity above 1 - threshold.

    Args:
        affinities: (dims, *spatial) in [0, 1], each to the next voxel along its axis.
        fragments: (*spatial), 0 outside.
        thresholds: in rising order; all are reached in one agglomeration.
        quantile: of the affinities between two segments, one of `QUANTILES`; None: the mean.

    Returns:
        For each threshold the segment of each fragment, (number of fragments + 1) uint32, with
        segment 0 for fragment 0: `result[fragments]` is the segmentation.
    """
    merged = np.array(fragments, np.uint64)  # a copy, because waterz merges in place
    flat = fragments.reshape(-1)
    somewhere = np.full(int(fragments.max(initial=0)) + 1, -1, np.int64)
    somewhere[flat] = np.arange(flat.size)  # a voxel of each fragment
    results = _run(
        _to_previous(affinities),
        thresholds,
        fragments=merged.reshape(_in_3d(fragments.shape)),
        scoring_function=_MEAN if quantile is None else _QUANTILE.format(quantile),
    )
    for segments in results:
        segment = segments.reshape(-1)[somewhere].astype(np.uint32)
        segment[somewhere < 0] = 0
        yield segment


def _run(channels: Array, thresholds: Sequence[float], **settings: Any) -> Iterator[Array]:
    import waterz

    with _silence():
        results = waterz.agglomerate(channels, list(thresholds), **settings)
    for _ in thresholds:
        with _silence():
            segments = np.asarray(next(results))
        yield segments


def _to_previous(affinities: Array) -> Array:
    """Three channels, each to the previous voxel, as waterz expects them."""
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
    """Silence standard output of Python and C++, because waterz has no option for it."""
    if sys.stdout is not None:
        sys.stdout.flush()
    devnull = os.open(os.devnull, os.O_WRONLY)
    try:
        saved = os.dup(1)
    except OSError:  # standard output is closed
        saved = os.dup(devnull)
    os.dup2(devnull, 1)
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        ctypes.CDLL(None).fflush(None)
        os.dup2(saved, 1)
        os.close(saved)
        os.close(devnull)
