from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from dacapo.ops import warp_cpu, warp_torch
from dacapo.ops.warp import (
    SourceMap,
    Warp,
    control_grid_shape,
    planes,
    rotation,
    warp_linear,
    warp_nearest,
)

TYPES = [np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int32, np.uint64, np.int64]


def drawn(shape: tuple[int, ...], voxel_size: tuple[float, ...], spacing: float = 7.0) -> Warp:
    """A warp that turns, shears and displaces."""
    rng = np.random.default_rng(0)
    size = [n * v for n, v in zip(shape, voxel_size, strict=True)]
    dims = len(shape)
    matrix = rotation(dims, (dims - 2, dims - 1), 0.4) + 0.05 * rng.normal(size=(dims, dims))
    return Warp(matrix, rng.normal(size=(dims, *control_grid_shape(size, spacing))), spacing)


def slow_source(
    warp: Warp, shape: tuple[int, ...], voxel_size: tuple[float, ...], index: tuple[int, ...]
) -> np.ndarray:
    """The source of one voxel, in voxels of the crop: corner by corner, in world units."""
    size = np.array(voxel_size)
    at = (np.array(index) - (np.array(shape) - 1) / 2) * size
    moved = warp.matrix @ at
    if warp.control_points is not None:
        grid = np.array(warp.control_points.shape[1:])
        where = np.clip(at / warp.control_point_spacing + (grid - 1) / 2, 0, grid - 1)
        for corner in np.ndindex(*(2,) * len(shape)):
            point = np.minimum(np.floor(where).astype(int) + corner, grid - 1)
            share = np.prod(np.where(corner, where % 1, 1 - where % 1))
            moved = moved + share * warp.control_points[(slice(None), *point)]
    return moved / size + (np.array(shape) - 1) / 2


def slow_linear(volume: np.ndarray, at: np.ndarray) -> float:
    """The value of one voxel, corner by corner."""
    at = np.clip(at, 0, np.array(volume.shape) - 1)
    value = 0.0
    for corner in np.ndindex(*(2,) * volume.ndim):
        place = np.minimum(np.floor(at).astype(int) + corner, np.array(volume.shape) - 1)
        value += float(np.prod(np.where(corner, at % 1, 1 - at % 1))) * float(volume[tuple(place)])
    return value


CASES = [((6, 9, 8), (4.0, 2.0, 2.0)), ((9, 12), (2.0, 2.0)), ((1, 5, 7), (3.0, 3.0, 3.0))]


@pytest.mark.parametrize(("shape", "voxel_size"), CASES)
def test_linear_agrees_with_the_slow_twin(shape: Any, voxel_size: Any) -> None:
    warp = drawn(shape, voxel_size)
    begin, box = warp.source_of(shape, voxel_size)
    volume = np.random.default_rng(1).integers(0, 255, (2, *box)).astype(np.uint8)
    low, factor = torch.tensor([10.0, 0.0]), torch.tensor([0.1, 2.0])
    made = warp_linear(torch.from_numpy(volume), begin, warp, shape, voxel_size, low, factor)
    assert made.shape == (2, *shape)
    for index in np.ndindex(*shape):
        at = slow_source(warp, shape, voxel_size, index) - begin
        for channel in range(2):
            value = slow_linear(volume[channel], at)
            expected = (value - low[channel].item()) * factor[channel].item()
            assert made[(channel, *index)].item() == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("kernels", [warp_cpu, warp_torch])
@pytest.mark.parametrize("dtype", TYPES)
def test_nearest_agrees_with_the_slow_twin(kernels: Any, dtype: Any) -> None:
    (shape, voxel_size), step = CASES[0], 5
    warp = drawn(shape, voxel_size)
    begin, box = warp.source_of(shape, voxel_size)
    begin[2] += step  # some of it is outside
    info = np.iinfo(dtype)
    volume = np.random.default_rng(1).integers(info.min, info.max, box, dtype, endpoint=True)
    source = SourceMap.of(warp, shape, voxel_size, begin)
    made, inside = kernels.nearest(torch.from_numpy(volume), source, shape)
    assert made.dtype == torch.from_numpy(volume).dtype
    close = 0
    for index in np.ndindex(*shape):
        at = slow_source(warp, shape, voxel_size, index) - begin + 0.5
        if np.abs(at - np.round(at)).min() < 1e-4:
            close += 1
            continue  # rounding may go either way
        place = np.floor(at).astype(int)
        known = bool(((place >= 0) & (place < np.array(box))).all())
        assert inside[index] == known
        assert made.numpy()[index] == (volume[tuple(place)] if known else 0)
    assert close < 5
    assert 0 < inside.float().mean() < 1


def test_both_ways_on_a_cpu_and_a_gpu_give_the_same() -> None:
    (shape, voxel_size) = CASES[0]
    warp = drawn(shape, voxel_size)
    begin, box = warp.source_of(shape, voxel_size)
    source = SourceMap.of(warp, shape, voxel_size, begin)
    for dtype in (np.uint8, np.uint16, np.int16, np.float32):
        volume = torch.from_numpy(np.random.default_rng(1).integers(0, 99, (1, *box)).astype(dtype))
        level = torch.ones(1)
        one, other = (k.linear(volume, source, shape, level, level) for k in (warp_cpu, warp_torch))
        torch.testing.assert_close(one, other, atol=1e-3, rtol=0)


def test_ids_that_collide_in_float32_or_int32_stay_apart() -> None:
    ids = [2**63 - 1, 2**63 - 2, 2**24, 2**24 + 1, 2**32, 2**33, 0]
    volume = torch.tensor(ids).reshape(1, 1, -1)
    for kernels in (warp_cpu, warp_torch):
        source = SourceMap.of(Warp(np.eye(3)), volume.shape, (1, 1, 1), (0, 0, 0))
        made, inside = kernels.nearest(volume, source, volume.shape)
        assert made.flatten().tolist() == ids
        assert inside.all()


def test_no_change_is_no_change() -> None:
    volume, none = torch.rand(2, 4, 5, 6), (0, 0, 0)
    warp, shape, size = Warp(np.eye(3), np.zeros((3, 3, 3, 3)), 10.0), (4, 5, 6), (3.0, 2.0, 1.0)
    same = warp_linear(volume, none, warp, shape, size, torch.zeros(2), torch.ones(2))
    assert torch.allclose(same, volume, atol=1e-5)
    assert torch.equal(warp_nearest(volume[0], none, warp, shape, size)[0], volume[0])


def test_a_quarter_turn() -> None:
    volume = torch.arange(16).reshape(4, 4)
    turned, _ = warp_nearest(
        volume, (0, 0), Warp(rotation(2, (0, 1), math.pi / 2)), (4, 4), (1.0, 1.0)
    )
    assert any(torch.equal(turned, volume.rot90(k)) for k in (1, 3))


@pytest.mark.parametrize(("shape", "voxel_size"), CASES)
def test_the_box_that_is_read_is_enough_and_not_much_more(shape: Any, voxel_size: Any) -> None:
    warp = drawn(shape, voxel_size)
    for tried in (warp, Warp(warp.matrix), Warp(np.eye(len(shape)))):
        begin, box = tried.source_of(shape, voxel_size)
        source = np.array(
            [slow_source(tried, shape, voxel_size, index) for index in np.ndindex(*shape)]
        )
        assert (source - begin >= 0).all()
        assert (source - begin <= np.array(box) - 1).all()
        spread = (
            0 if tried.control_points is None else np.ptp(tried.control_points) / min(voxel_size)
        )
        assert (np.array(box) - np.ptp(source, axis=0) <= 4 + spread).all()


def test_two_warps_are_one() -> None:
    shape, size = (5, 6, 7), (2.0, 2.0, 2.0)
    one, other = drawn(shape, size), Warp(rotation(3, (0, 1), 0.3))
    both = one.after(other)
    assert np.allclose(both.matrix, one.matrix @ other.matrix)
    assert both.control_points is one.control_points
    assert other.after(one).control_points is one.control_points
    assert one.after(None) is one


def test_control_points_cover_the_volume() -> None:
    for size in (1.0, 20.0, 21.0, 100.0):
        (num,) = control_grid_shape((size,), 10.0)
        assert num % 2 == 1
        assert (num - 1) / 2 * 10 >= size / 2


def test_only_axes_of_one_voxel_size_turn() -> None:
    assert planes((4, 4, 4)) == [(0, 1), (0, 2), (1, 2)]
    assert planes((40, 4, 4)) == [(1, 2)]
    assert planes((4, 5)) == []
