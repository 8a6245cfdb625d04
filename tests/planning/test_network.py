"""U-Nets that fit voxels, objects and volumes."""

from __future__ import annotations

from itertools import pairwise
from math import prod

import pytest

from dacapo.planning.network import context_of, geometry_for, increase_for, input_shape_for

VOLUMES = [
    ((10.0, 10.0, 10.0), (170, 250, 250)),
    ((284.0, 127.0, 127.0), (100, 100, 100)),
    ((40.0, 20.0, 20.0), (10, 1170, 1000)),
    ((40.0, 4.0, 4.0), (125, 1250, 1250)),
    ((30.0, 8.0, 8.0), (64, 512, 512)),
    ((1.0, 1.0), (512, 512)),
    ((180.0, 180.0), (737, 758)),
    ((1.0, 1.0, 1.0), (20, 20, 20)),
    ((4.0, 4.0, 40.0), (300, 300, 40)),
]


@pytest.mark.parametrize(("voxel_size", "shape"), VOLUMES)
@pytest.mark.parametrize("context", [10, 30, 100])
def test_a_network_fits_its_volume(
    voxel_size: tuple[float, ...], shape: tuple[int, ...], context: int
) -> None:
    geometry = geometry_for(voxel_size, shape, context * min(voxel_size), 400_000)
    crop = input_shape_for(geometry, voxel_size, shape, shape, 400_000)
    assert all(a <= b for a, b in zip(crop, shape, strict=True))
    assert prod(crop) <= 400_000
    assert min(geometry.output_shape(crop)) >= 1
    increase = increase_for(geometry, crop, shape, 1.8)
    grown = [a + b for a, b in zip(crop, increase, strict=True)]
    assert all(g - c == o - p for g, c, o, p in zip(
        grown, crop, geometry.output_shape(grown), geometry.output_shape(crop), strict=True,
    ))  # fmt: skip


def test_pooling_makes_voxels_isotropic_first() -> None:
    geometry = geometry_for((40, 4, 4), (125, 1250, 1250), 600, 10**6)
    assert geometry.downsample[:3] == [[1, 2, 2]] * 3
    assert geometry.kernels_down[0] == [[1, 3, 3], [1, 3, 3]]
    assert geometry.kernels_down[-1] == [[3, 3, 3], [3, 3, 3]]


def test_the_longest_voxels_may_lie_along_any_axis() -> None:
    geometry = geometry_for((4, 4, 40), (300, 300, 40), 400, 10**6)
    assert geometry.downsample[0] == [2, 2, 1]
    assert geometry.kernels_down[0] == [[3, 3, 1], [3, 3, 1]]


def test_equal_voxels_are_treated_equally() -> None:
    geometry = geometry_for((8, 8, 8), (200, 300, 400), 300, 10**6)
    assert {tuple(f) for f in geometry.downsample} == {(2, 2, 2)}
    crop = input_shape_for(geometry, (8, 8, 8), (200, 300, 400), (200, 300, 400), 500_000)
    assert len(set(crop)) == 1


def test_larger_objects_get_a_network_that_sees_farther() -> None:
    sees = [
        context_of(geometry_for((8, 8, 8), (500, 500, 500), context, 10**8), (8, 8, 8))
        for context in (80, 300, 700, 1500)
    ]
    assert all(a < b for a, b in pairwise(sees))
    for context, seen in zip((80, 300, 700, 1500), sees, strict=True):
        assert 0.5 < seen / context < 2


def test_few_sections_are_not_used_up_by_the_kernels() -> None:
    geometry = geometry_for((40, 20, 20), (10, 1170, 1000), 1500, 400_000)
    assert all(factor[0] == 1 for factor in geometry.downsample)
    crop = input_shape_for(geometry, (40, 20, 20), (10, 1170, 1000), (10, 700, 1000), 400_000)
    assert geometry.output_shape(crop)[0] >= 5


def test_a_small_budget_of_voxels_forbids_many_poolings() -> None:
    many = geometry_for((8, 8, 8), (500, 500, 500), 1500, 10**8)
    few = geometry_for((8, 8, 8), (500, 500, 500), 1500, 400_000)
    assert len(few.downsample) < len(many.downsample)
