"""Signed distances to the borders of objects or classes, and where they are known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import edt
import fastremap
import numpy as np

Labels = np.ndarray[Any, np.dtype[Any]]
Mask = np.ndarray[Any, np.dtype[np.bool_]]
Floats = np.ndarray[Any, np.dtype[np.float32]]


def signed_distance(labels: Labels, voxel_size: Sequence[float], limit: float) -> Floats:
    """The distance to the nearest voxel of another label: positive in objects, negative outside.

    Args:
        labels: (*spatial), integers or booleans; 0 is background. Two touching objects have a
            border between them.
        voxel_size: per axis.
        limit: upper bound of distances.

    Returns:
        The distance between voxel centres. It is known where it is smaller than
        `distance_to_unknown`, or where the latter reaches the limit: there it does not depend on
        unknown labels.
    """
    from dacapo.ops.border import border_distance  # numba is imported here

    if labels.dtype.itemsize == 8:
        labels, _ = fastremap.renumber(labels, preserve_zero=True)
    codes = labels.astype(np.uint8 if labels.dtype == np.bool_ else np.uint32)
    distance: Floats = border_distance(codes, voxel_size, limit)
    np.negative(distance, out=distance, where=labels == 0)
    return distance


def distance_to_unknown(known: Mask, voxel_size: Sequence[float]) -> Floats:
    """Distance from each voxel to the nearest unknown one; everything outside the crop is unknown.

    Args:
        known: (*spatial), where labels are known.
        voxel_size: per axis.
    """
    if not known.all():
        holes: Floats = edt.edt(known, anisotropy=tuple(voxel_size), black_border=True)
        return holes
    sides = [
        np.minimum(np.arange(1, n + 1), np.arange(n, 0, -1)).astype(np.float32) * np.float32(size)
        for n, size in zip(known.shape, voxel_size, strict=True)
    ]
    nearest = np.full(known.shape, np.inf, np.float32)
    for axis, side in enumerate(sides):
        np.minimum(nearest, side.reshape(-1, *[1] * (known.ndim - 1 - axis)), out=nearest)
    return nearest
