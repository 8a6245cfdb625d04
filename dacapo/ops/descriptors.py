"""Local shape descriptors (Sheridan et al. 2023, Nature Methods).

For each voxel: size, centre of mass and covariance of the part of its object that is within a
Gaussian window around it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import fastremap
import numpy as np
import torch
from scipy.ndimage import find_objects
from torch import Tensor

TRUNCATE = 3.0


def num_descriptors(dims: int) -> int:
    """10 in 3D, 6 in 2D: mean offset, variances, correlations, size."""
    return 2 * dims + dims * (dims - 1) // 2 + 1


def local_shape_descriptors(
    labels: Tensor, sigma: Sequence[float], voxel_size: Sequence[float]
) -> Tensor:
    """Local shape descriptors of every object; 0 in the background.

    Args:
        labels: (B, *spatial), integers.
        sigma: standard deviation of the window, per axis, in the unit of `voxel_size`; the window
            is truncated at 3 sigma.
        voxel_size: per axis.

    Returns:
        (B, C, *spatial) float32 in [0, 1]. Channels: the offset from the voxel to the centre of
        mass, halved, over sigma, plus 0.5; the variances over sigma squared; the correlations of
        the axis pairs (zy, zx, yx), halved, plus 0.5; the share of the window that the object
        fills.
    """
    dims = labels.ndim - 1
    steps = [s / v for s, v in zip(sigma, voxel_size, strict=True)]  # sigma in voxels
    out = labels.new_zeros((labels.shape[0], num_descriptors(dims), *labels.shape[1:]),
                           dtype=torch.float32)  # fmt: skip
    for sample, target in zip(labels, out, strict=True):
        small, ids = _numbered(sample)
        for number, box in enumerate(find_objects(small), start=1):
            if box is not None:
                part = sample[box] == ids[number - 1]
                target[:, *box][:, part] = _describe(part, steps)
    return out


def window_share(mask: Tensor, sigma: Sequence[float], voxel_size: Sequence[float]) -> Tensor:
    """The fraction of the Gaussian window around each voxel in which a mask is nonzero.

    Args:
        mask: (B, *spatial); voxels outside count as 0.
        sigma, voxel_size: see `local_shape_descriptors`.

    Returns:
        (B, *spatial) float32 in [0, 1].
    """
    share = (mask != 0).float()
    for axis, (s, v) in enumerate(zip(sigma, voxel_size, strict=True), start=1):
        blur = _moment_matrices(mask.shape[axis], s / v, mask.device)[0]
        share = torch.tensordot(blur, share, dims=([1], [axis])).movedim(0, axis)
    return share.clamp(0, 1).float()


def _describe(part: Tensor, sigma: Sequence[float]) -> Tensor:
    """Descriptors of one binary object at its voxels, in units of sigma: (C, voxels)."""
    dims = part.ndim
    kernels = [_moment_matrices(n, s, part.device) for n, s in zip(part.shape, sigma, strict=True)]
    moments: dict[tuple[int, ...], Tensor] = {(): part.float()}
    for axis in range(
        dims
    ):  # each call moves the first axis to the end; partial results are shared between moments
        moments = {
            (*orders, order): _turned(kernels[axis][order], field)
            for orders, field in moments.items()
            for order in range(3 - sum(orders))
        }
    inside = part.reshape(-1).nonzero()[:, 0]
    moments = {orders: field.reshape(-1)[inside] for orders, field in moments.items()}
    unit = [tuple(int(i == axis) for i in range(dims)) for axis in range(dims)]
    mass = moments[(0,) * dims].clamp_min(1e-12)
    mean = [moments[u] / mass for u in unit]
    variance = [
        (moments[tuple(2 * o for o in u)] / mass - m * m).clamp_min(1e-3)
        for u, m in zip(unit, mean, strict=True)
    ]
    correlation = []
    for i, j in combinations(range(dims), 2):
        mixed = moments[tuple(a + b for a, b in zip(unit[i], unit[j], strict=True))] / mass
        covariance = mixed - mean[i] * mean[j]
        correlation.append(covariance / (variance[i] * variance[j]).sqrt())
    channels = [m * 0.5 + 0.5 for m in mean] + variance + [c * 0.5 + 0.5 for c in correlation]
    return torch.stack([*channels, mass]).clamp(0, 1).float()


def _moment_matrices(size: int, sigma: float, device: torch.device) -> list[Tensor]:
    """Banded matrices that apply g, t g and t^2 g along an axis, t in units of sigma.

    Moments are relative to the voxel they belong to, so that no large numbers cancel.
    """
    position = torch.arange(size, dtype=torch.float64, device=device)
    distance = (position[None, :] - position[:, None]) / sigma
    radius = math.ceil(TRUNCATE * sigma)
    tap = torch.arange(-radius, radius + 1, dtype=torch.float64, device=device) / sigma
    total = torch.exp(-0.5 * tap**2).sum()
    gauss = torch.exp(-0.5 * distance**2) / total * (distance.abs() * sigma <= radius)
    return [k.float() for k in (gauss, distance * gauss, distance**2 * gauss)]


def _turned(matrix: Tensor, field: Tensor) -> Tensor:
    """Apply a matrix along the first axis, which becomes the last: (n, *rest) -> (*rest, n)."""
    rest = field.shape[1:]
    return (field.reshape(len(field), -1).T @ matrix.T).reshape(*rest, len(field))


def _numbered(labels: Tensor) -> tuple[np.ndarray[Any, Any], list[int]]:
    """Renumber labels to 0..n; also returns the n labels that are not 0."""
    small, numbers = fastremap.renumber(labels.cpu().numpy(), preserve_zero=True)
    by_number = sorted((int(n), int(label)) for label, n in numbers.items() if label != 0)
    return small, [label for _, label in by_number]
