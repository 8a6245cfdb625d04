"""Centre lines of thin structures."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.ndimage import binary_dilation
from torch import Tensor
from torch.nn.functional import max_pool2d, max_pool3d

Mask = np.ndarray[Any, np.dtype[np.bool_]]


def soft_skeleton(mask: Tensor, iterations: int) -> Tensor:
    """What repeated erosion takes away that a dilation does not bring back. Shit et al. 2021.

    Args:
        mask: (B, C, *spatial) between 0 and 1.
        iterations: erosions; no fewer than the radius of the thickest structure, in voxels.

    Returns:
        As large as the mask, near 1 on the centre lines of structures; differentiable. Structures
        that reach the border of the array are not eroded from there.
    """
    dilated = max_pool2d if mask.ndim == 4 else max_pool3d
    skeleton = torch.zeros_like(mask)
    for _ in range(iterations + 1):
        smaller = _eroded(mask)
        ridge = (mask - dilated(smaller, 3, 1, 1)).relu()
        skeleton = skeleton + ridge * (1 - skeleton)
        mask = smaller
    return skeleton


def skeleton_tube(mask: Mask, radius: int) -> Mask:
    """The voxels of a mask near its skeleton (Lee et al. 1994 in 3D, Zhang and Suen 1984 in 2D).

    Args:
        mask: (*spatial), 2D or 3D.
        radius: steps from voxel to voxel through faces.
    """
    from skimage.morphology import skeletonize

    found = np.asarray(skeletonize(mask)) != 0  # type: ignore[no-untyped-call]
    return binary_dilation(found, iterations=radius, mask=mask) if radius else found


def _eroded(mask: Tensor) -> Tensor:
    """The smallest value among a voxel and those that share a face with it."""
    dims = mask.ndim - 2
    pool = max_pool2d if dims == 2 else max_pool3d
    smallest = mask
    for axis in range(dims):
        kernel = tuple(3 if a == axis else 1 for a in range(dims))
        padding = tuple(int(a == axis) for a in range(dims))
        along: Tensor = -pool(-mask, kernel, 1, padding)
        smallest = torch.minimum(smallest, along)
    return smallest
