from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from dacapo.ops.descriptors import TRUNCATE, local_shape_descriptors, num_descriptors


def slow(labels: np.ndarray, sigma: list[float], voxel_size: list[float]) -> np.ndarray:
    """Every voxel by itself: a weighted mean and covariance of its object's voxels around it."""
    dims = labels.ndim
    out = np.zeros((num_descriptors(dims), *labels.shape))
    grid = np.stack(np.meshgrid(*map(np.arange, labels.shape), indexing="ij"), -1)
    steps = np.array([s / v for s, v in zip(sigma, voxel_size, strict=True)])
    one = [np.arange(-np.ceil(TRUNCATE * s), np.ceil(TRUNCATE * s) + 1) / s for s in steps]
    total = np.prod([np.exp(-0.5 * t**2).sum() for t in one])
    for place in np.ndindex(labels.shape):
        if labels[place] == 0:
            continue
        far = grid - np.array(place)
        inside = (labels == labels[place]) & (np.abs(far) <= np.ceil(TRUNCATE * steps)).all(-1)
        t = far[inside] / steps
        weight = np.exp(-0.5 * (t**2).sum(-1)) / total
        mass = weight.sum()
        mean = (weight[:, None] * t).sum(0) / mass
        cov = (weight[:, None, None] * t[:, :, None] * t[:, None, :]).sum(0) / mass
        cov -= np.outer(mean, mean)
        var = np.maximum(np.diag(cov), 1e-3)
        pairs = itertools.combinations(range(dims), 2)
        corr = [cov[i, j] / np.sqrt(var[i] * var[j]) for i, j in pairs]
        values = [*(mean * 0.5 + 0.5), *var, *(np.array(corr) * 0.5 + 0.5), mass]
        out[(slice(None), *place)] = np.clip(values, 0, 1)
    return out


@pytest.mark.parametrize(
    ("shape", "sigma", "voxel_size"),
    [((7, 8, 9), [2.0, 2.0, 2.0], [1, 1, 1]), ((5, 9, 8), [8.0] * 3, [8, 4, 4]),
     ((12, 13), [3.0, 3.0], [1, 1])],
)  # fmt: skip
def test_agrees_with_the_slow_twin(
    shape: tuple[int, ...], sigma: list[float], voxel_size: list[float]
) -> None:
    rng = np.random.default_rng(1)
    smooth = gaussian_filter(rng.normal(size=shape), 1.5)
    labels = np.digitize(smooth, np.quantile(smooth, [0.3, 0.6])).astype(np.int32)
    fast = local_shape_descriptors(torch.from_numpy(labels)[None], sigma, voxel_size)[0].numpy()
    assert np.abs(fast - slow(labels, sigma, voxel_size)).max() < 1e-5


def test_a_large_object_looks_alike_everywhere_inside() -> None:
    labels = torch.ones((1, 41, 41), dtype=torch.int32)
    middle = local_shape_descriptors(labels, [3, 3], [1, 1])[0, :, 20, 20]
    offset, variance, correlation, size = middle[:2], middle[2:4], middle[4], middle[5]
    assert torch.allclose(offset, torch.full((2,), 0.5), atol=1e-6)
    assert torch.allclose(variance, torch.full((2,), 0.97), atol=0.02)  # cut off at 3 sigma
    assert correlation == pytest.approx(0.5)
    assert size == pytest.approx(1.0)


def test_number_of_channels() -> None:
    assert num_descriptors(3) == 10
    assert num_descriptors(2) == 6


@pytest.mark.parametrize(
    ("name", "sigma", "voxel_size"),
    [("isotropic", [3.0] * 3, (1, 1, 1)), ("anisotropic", [6.0] * 3, (2, 1, 1))],
)
def test_agrees_with_the_lsds_package(
    name: str, sigma: list[float], voxel_size: tuple[int, ...]
) -> None:
    """Of lsds 0.1.3, which needs zarr 2 and so an environment of its own, in steps of 1/65535.

    What differs: where an object covers little of the window, lsds' moments about the volume's
    corner cancel in float32; ours are about the voxel and do not. Borders are handled alike:
    the volume ends, and so does the object.
    """
    golden = np.load(Path(__file__).parents[1] / "golden" / "lsds.npz")
    labels = golden["labels"].astype(np.int32)
    ours = local_shape_descriptors(torch.from_numpy(labels)[None], sigma, voxel_size)[0].numpy()
    differ = np.abs(ours - golden[name] / 65535)[:, labels != 0]
    print(f"{name}: mean {differ.mean():.1e}, largest {differ.max():.1e}")
    assert differ.mean() < 2e-4
    assert np.quantile(differ, 0.999) < 5e-3
