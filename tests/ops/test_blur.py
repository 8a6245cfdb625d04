from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from dacapo.ops.blur import disk_blur, gaussian_blur


@pytest.mark.parametrize("shape", [(9, 14, 11), (20, 17)])
def test_a_gaussian_agrees_with_scipys(shape: tuple[int, ...]) -> None:
    volume = np.random.default_rng(0).random((2, *shape)).astype(np.float32)
    sigma = [0.4, 1.3, 2.0][-len(shape) :]
    ours = gaussian_blur(torch.from_numpy(volume), sigma).numpy()
    radius = [min(int(np.ceil(3 * s)), n - 1) for s, n in zip(sigma, shape, strict=True)]
    for channel, blurred in zip(volume, ours, strict=True):
        theirs = ndimage.gaussian_filter(channel, sigma, mode="mirror", radius=radius)
        np.testing.assert_allclose(blurred, theirs, atol=1e-5)


def test_no_blur_changes_nothing() -> None:
    volume = torch.rand(1, 5, 6)
    assert torch.equal(gaussian_blur(volume, [0, 0]), volume)
    torch.testing.assert_close(disk_blur(volume, 0.5), volume)


def test_a_disk_agrees_with_scipys() -> None:
    images = np.random.default_rng(1).random((3, 12, 15)).astype(np.float32)
    radius = 2.3
    at = np.arange(-2, 3)
    disk = (at[:, None] ** 2 + at**2 <= radius**2).astype(np.float32)
    for image, blurred in zip(images, disk_blur(torch.from_numpy(images), radius), strict=True):
        theirs = ndimage.convolve(image, disk / disk.sum(), mode="nearest")
        np.testing.assert_allclose(blurred, theirs, atol=1e-5)
