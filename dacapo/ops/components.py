"""Connected components and their sizes."""

from __future__ import annotations

from typing import Any

import cc3d
import numpy as np

Mask = np.ndarray[Any, np.dtype[np.bool_]]
Labels = np.ndarray[Any, np.dtype[Any]]


def components(mask: Mask) -> np.ndarray[Any, np.dtype[np.uint32]]:
    """Components of voxels connected by faces, numbered from 1; 0 outside the mask. 2D or 3D."""
    labels: Labels = cc3d.connected_components(mask, connectivity=4 if mask.ndim == 2 else 6)
    return labels.astype(np.uint32)


def without_small(mask: Mask, min_size: int) -> Mask:
    """The mask without its components of fewer than `min_size` voxels."""
    if min_size <= 1:
        return mask
    return np.asarray(keep_large(components(mask), min_size) != 0)


def keep_large(labels: Labels, min_size: int) -> Labels:
    """The labels without segments of fewer than `min_size` voxels, which become 0."""
    if min_size <= 1 or labels.size == 0:
        return labels
    sizes = np.bincount(labels.reshape(-1))
    small = sizes < min_size
    return np.where(small[labels], np.zeros((), labels.dtype), labels)
