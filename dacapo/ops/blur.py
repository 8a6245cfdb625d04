"""Blurring."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad

_TRUNCATE = 3.0


def gaussian_blur(volume: Tensor, sigma: Sequence[float]) -> Tensor:
    """Convolve with a Gaussian, truncated at three standard deviations.

    Args:
        volume: (C, *spatial); mirrored beyond its border, which is not repeated.
        sigma: in voxels, per axis.
    """
    for axis, width in enumerate(sigma, start=1):
        radius = min(math.ceil(_TRUNCATE * width), volume.shape[axis] - 1)
        if radius == 0 or width == 0:
            continue
        at = torch.arange(-radius, radius + 1, dtype=volume.dtype, device=volume.device)
        kernel = torch.exp(-0.5 * (at / width) ** 2)
        rows = volume.movedim(axis, -1)
        shape = rows.shape
        rows = pad(rows.reshape(1, -1, shape[-1]), (radius, radius), mode="reflect")[0]
        windows = rows.unfold(-1, 2 * radius + 1, 1)
        volume = (windows @ (kernel / kernel.sum())).reshape(shape).movedim(-1, axis)
    return volume


def disk_blur(images: Tensor, radius: float) -> Tensor:
    """Convolve images with a disk, like a lens out of focus.

    Args:
        images: (C, Y, X); the border is repeated.
        radius: in voxels; the disk contains the voxels whose centre is within it.
    """
    reach = math.floor(radius)
    at = torch.arange(-reach, reach + 1, dtype=images.dtype, device=images.device)
    disk = ((at[:, None] ** 2 + at**2) <= radius**2).to(images.dtype)
    padded = pad(images[:, None], (reach,) * 4, mode="replicate")
    return conv2d(padded, (disk / disk.sum())[None, None])[:, 0]
