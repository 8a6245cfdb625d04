"""Distances between the surfaces of two binary segmentations, and distances of false voxels."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from math import nan
from typing import Any

import edt
import numpy as np

Mask = np.ndarray[Any, np.dtype[np.bool_]]
Floats = np.ndarray[Any, np.dtype[np.float32]]

_MORE = 1 + 1e-5  # distances are float32


class Shape:
    """A binary segmentation with its distance maps, each computed at first use.

    Args:
        inside: (*spatial), the voxels of the segmentation.
        counted: (*spatial), the voxels that are annotated.
        voxel_size: per axis, z first; distances are in its unit, between voxel centres.
    """

    def __init__(self, inside: Mask, counted: Mask, voxel_size: Sequence[float]) -> None:
        self.inside = inside & counted
        self.counted = counted
        self.voxel_size = tuple(voxel_size)

    @cached_property
    def is_empty(self) -> bool:
        return not self.inside.any()

    @cached_property
    def surface(self) -> Mask:
        """Voxels of the segmentation with an annotated face neighbour outside it.

        There is no surface where the volume or the annotation ends.
        """
        out = np.zeros(self.inside.shape, bool)
        neighbours = self.counted & ~self.inside
        for axis in range(out.ndim):
            low, high = _shifted(axis, out.ndim)
            out[low] |= neighbours[high]
            out[high] |= neighbours[low]
        return out & self.inside

    @cached_property
    def distance(self) -> Floats:
        """Distance from every voxel to the nearest one inside; infinite if there is none."""
        return self._distance_to(self.inside)

    @cached_property
    def surface_distance(self) -> Floats:
        """Distance from every voxel to the nearest surface voxel; infinite if there is none."""
        return self._distance_to(self.surface)

    def _distance_to(self, voxels: Mask) -> Floats:
        out: Floats = edt.edt(~voxels, anisotropy=self.voxel_size, black_border=False)
        return out


class SurfaceDistances:
    """Distances from each surface to the other; NaN if one of the two has no surface.

    Args:
        ground_truth, prediction: segmentations of the same volume.
    """

    def __init__(self, ground_truth: Shape, prediction: Shape) -> None:
        self._missing = not (ground_truth.surface.any() and prediction.surface.any())
        self.to_ground_truth = ground_truth.surface_distance[prediction.surface]
        self.to_prediction = prediction.surface_distance[ground_truth.surface]

    @property
    def hausdorff(self) -> float:
        """The largest of all distances (Hausdorff distance)."""
        return self.hausdorff_percentile(100)

    def hausdorff_percentile(self, percent: float) -> float:
        """The larger of the two directions' percentiles (linear between ranks)."""
        if self._missing:
            return nan
        return float(
            max(np.percentile(d, percent) for d in (self.to_ground_truth, self.to_prediction))
        )

    @property
    def mean(self) -> float:
        """The mean over the voxels of both surfaces (average symmetric surface distance)."""
        if self._missing:
            return nan
        total = self.to_ground_truth.sum(dtype=float) + self.to_prediction.sum(dtype=float)
        return float(total / (self.to_ground_truth.size + self.to_prediction.size))

    def dice(self, tolerance: float) -> float:
        """Fraction of the voxels of both surfaces within `tolerance` of the other. Nikolov et al.
        2021.

        Surfaces are counted in voxels. 0 if one surface is missing, NaN if both are.
        """
        size = self.to_ground_truth.size + self.to_prediction.size
        if size == 0:
            return nan
        tolerance *= _MORE
        close = (self.to_ground_truth <= tolerance).sum() + (self.to_prediction <= tolerance).sum()
        return float(close / size)


def mean_distance(of: Shape, to: Shape, clip: float | None = None) -> float:
    """The mean distance from the voxels of one segmentation to the nearest voxel of the other.

    Args:
        clip: upper bound of distances; with it, an empty `to` gives `clip`.

    Returns:
        NaN if `of` is empty, and without `clip` also if `to` is.
    """
    if of.is_empty or (clip is None and to.is_empty):
        return nan
    distances = to.distance[of.inside]
    if clip is not None:
        distances = np.minimum(distances, np.float32(clip))
    return float(distances.mean(dtype=float))


def beyond(of: Shape, to: Shape, tolerance: float) -> float:
    """Number of voxels of one segmentation that are further than `tolerance` from the other."""
    return float((to.distance[of.inside] > tolerance * _MORE).sum())


def _shifted(axis: int, dims: int) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """All voxels but the last along an axis, and their neighbours."""
    low, high = [slice(None)] * dims, [slice(None)] * dims
    low[axis], high[axis] = slice(None, -1), slice(1, None)
    return tuple(low), tuple(high)
