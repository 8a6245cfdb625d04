from __future__ import annotations

import math

import numpy as np
import torch
from scipy.ndimage import map_coordinates

from dacapo.ops.warp import control_grid_shape, planes, resample, rotation, warped_positions


def test_no_change_is_no_change() -> None:
    volume = torch.rand(2, 4, 5, 6)
    at = warped_positions((4, 5, 6), (3, 2, 1), torch.eye(3), torch.zeros(3, 3, 3, 3), 10.0)
    assert torch.allclose(resample(volume, at, (12, 10, 6), True), volume, atol=1e-5)
    assert torch.equal(resample(volume, at, (12, 10, 6), False), volume)


def test_a_quarter_turn() -> None:
    volume = torch.arange(16.0).reshape(1, 4, 4)
    at = warped_positions((4, 4), (1, 1), rotation(2, (0, 1), math.pi / 2), torch.zeros(2, 1, 1), 9)
    turned = resample(volume, at, (4, 4), False)[0]
    assert any(torch.equal(turned, volume[0].rot90(k)) for k in (1, 3))


def test_displacement_and_interpolation_agree_with_scipy() -> None:
    rng = np.random.default_rng(0)
    shape, voxel_size, spacing = (6, 9, 8), (4.0, 2.0, 2.0), 7.0
    size = [n * v for n, v in zip(shape, voxel_size, strict=True)]
    control_points = rng.normal(size=(3, *control_grid_shape(size, spacing)))
    matrix = rotation(3, (1, 2), 0.4)
    at = warped_positions(
        shape, voxel_size, matrix, torch.from_numpy(control_points).float(), spacing
    )

    axes = [(np.arange(n) + 0.5 - n / 2) * v for n, v in zip(shape, voxel_size, strict=True)]
    plain = np.stack(np.meshgrid(*axes, indexing="ij"))
    index = [
        p / spacing + (n - 1) / 2 for p, n in zip(plain, control_points.shape[1:], strict=True)
    ]
    field = np.stack([map_coordinates(k, index, order=1) for k in control_points])
    expected = np.einsum("ij,j...->i...", matrix.numpy(), plain) + field
    assert np.abs(at.numpy() - expected).max() < 1e-4

    volume = rng.normal(size=shape).astype(np.float32)
    place = [
        np.clip((e + s / 2) / v - 0.5, 0, n - 1)
        for e, s, v, n in zip(expected, size, voxel_size, shape, strict=True)
    ]
    ours = resample(torch.from_numpy(volume)[None], at, size, True)[0].numpy()
    assert np.abs(ours - map_coordinates(volume, place, order=1)).max() < 1e-3


def test_labels_keep_their_values_up_to_2_24() -> None:
    volume = torch.tensor([[[0.0, 2**24 - 1, 2**24]]])
    at = warped_positions((1, 3), (1, 1), torch.eye(2), torch.zeros(2, 1, 1), 5)
    assert torch.equal(resample(volume, at, (1, 3), False), volume)


def test_knots_cover_the_volume() -> None:
    for size in (1.0, 20.0, 21.0, 100.0):
        (num,) = control_grid_shape((size,), 10.0)
        assert num % 2 == 1
        assert (num - 1) / 2 * 10 >= size / 2


def test_only_axes_of_one_voxel_size_turn() -> None:
    assert planes((4, 4, 4)) == [(0, 1), (0, 2), (1, 2)]
    assert planes((40, 4, 4)) == [(1, 2)]
    assert planes((4, 5)) == []
