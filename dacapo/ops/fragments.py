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
    is_small = (np.bincount(labels.reshape(-1)) < min_size)[labels]
    return absorb(labels, is_small) if (~is_small & (labels != 0)).any() else labels


def absorb(labels: Labels, small: Labels, within: float = np.inf) -> Labels:
    """Assign each voxel marked as small to the nearest label that is neither small nor 0.

    Args:
        small: (*spatial) bool.
        within: in voxels; where there is none so near, voxels become 0.
    """
    drop = small & (labels != 0)
    kept = np.where(drop, np.zeros((), labels.dtype), labels)
    if not drop.any() or not kept.any():
        return kept
    found = distance_transform_edt(kept == 0, return_indices=True)
    assert isinstance(found, tuple)
    distance, nearest = found
    return np.where(drop & (distance <= within), kept[tuple(nearest)], kept)
