"""Absorbing small segments."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.ndimage import distance_transform_edt

Labels = np.ndarray[Any, np.dtype[Any]]


def absorb_small(labels: Labels, min_size: int) -> Labels:
    """Assign each voxel of a segment smaller than `min_size` voxels to the nearest larger segment.

    Label 0 is unchanged and absorbs nothing. If no segment is large enough, nothing changes.
    """
    if min_size <= 1 or labels.size == 0:
        return labels
    sizes = np.bincount(labels.reshape(-1))
    return absorb(labels, (sizes < min_size)[labels])


def absorb(labels: Labels, small: np.ndarray[Any, np.dtype[np.bool_]]) -> Labels:
    """Assign each voxel marked as small to the nearest label that is neither small nor 0.

    If there is none, nothing changes.
    """
    drop = small & (labels != 0)
    if not drop.any() or not ((labels != 0) & ~drop).any():
        return labels
    nearest = distance_transform_edt(
        drop | (labels == 0), return_distances=False, return_indices=True
    )
    assert isinstance(nearest, np.ndarray)
    return np.where(drop, labels[tuple(nearest)], labels)
