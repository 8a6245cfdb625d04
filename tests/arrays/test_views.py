"""Arrays made of arrays, beside what numpy says of the whole."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from funlib.geometry import Coordinate, Roi
from hypothesis import given, settings
from hypothesis import strategies as st

from dacapo.arrays import Array, views
from dacapo.arrays.resample import resample
from dacapo.errors import InputError

SIZE = Coordinate(40, 10, 10)


def array(data: Any, offset: Any = (0, 0, 0), size: Any = SIZE, name: str = "a") -> Array:
    return Array(np.asarray(data), Coordinate(size), Coordinate(offset), name=name)


def whole(view: Array) -> Any:
    return view.read(view.roi)


RNG = np.random.default_rng(0)
IDS = RNG.integers(0, 5, (4, 6, 8)).astype(np.uint32)
RAW = RNG.integers(0, 256, (4, 6, 8)).astype(np.uint8)


def test_a_part_of_a_view_is_the_part_of_the_whole() -> None:
    made = [
        views.clip(array(RAW), 20, 200),
        views.relabel(array(IDS), {1: 9}),
        views.pad(array(IDS), SIZE * 2, 7),
        views.concat([array(RAW), array(IDS)]),
        views.merge_instances([array(IDS), array(IDS[::-1])]),
        resample(array(RAW), Coordinate(80, 20, 20), True),
        resample(array(RAW), Coordinate(20, 5, 5), True),
        resample(array(IDS), Coordinate(40, 5, 20), False),
        views.select(array(np.stack([RAW, RAW + 1, RAW + 2])), [2, 0]),
    ]
    for view in made:
        begin = view.voxel_size * Coordinate(1, 1, 1)
        roi = Roi(view.offset + begin, view.roi.shape - begin)
        assert np.array_equal(view.read(roi), whole(view)[..., 1:, 1:, 1:])
        assert view.read(roi).dtype == view.dtype


def test_voxelwise() -> None:
    assert np.array_equal(whole(views.clip(array(RAW), 20.5, 200)), RAW.clip(21, 200))
    assert np.array_equal(whole(views.binarize(array(IDS), [2, 4])), np.isin(IDS, [2, 4]))
    assert np.array_equal(whole(views.binarize(array(IDS))), IDS != 0)
    assert np.array_equal(whole(views.valid_mask(array(IDS), [3])), IDS != 3)


def test_relabel_and_group() -> None:
    new = whole(views.relabel(array(IDS.astype(np.uint8)), {1: 300, 2: 1}))
    assert new.dtype == np.uint16
    assert np.array_equal(new[IDS == 1], np.full((IDS == 1).sum(), 300))
    assert np.array_equal(new == 1, IDS == 2)
    grouped = views.group(array(IDS), {"mito": [3, 4], "er": [1]})
    assert np.array_equal(whole(grouped) == 1, np.isin(IDS, [3, 4]))
    assert np.array_equal(whole(grouped) == 2, IDS == 1)
    assert grouped.class_names == {1: "mito", 2: "er"}
    with pytest.raises(InputError, match="contain an id twice"):
        views.group(array(IDS), {"a": [1], "b": [1]})


def test_ids_beyond_2_to_the_53_are_told_apart() -> None:
    ids = np.array([[[2**62, 2**62 + 1, 2**63]]], np.uint64)
    assert whole(views.binarize(array(ids), [2**62 + 1])).ravel().tolist() == [0, 1, 0]
    assert whole(views.relabel(array(ids), {2**62: 5})).ravel().tolist() == [5, 2**62 + 1, 2**63]


@given(st.lists(st.integers(0, 2**63 - 1), min_size=4, max_size=4),
       st.lists(st.integers(0, 2**63 - 1), min_size=4, max_size=4))  # fmt: skip
@settings(max_examples=100, deadline=None)
def test_merged_objects_never_collide(ours: list[int], theirs: list[int]) -> None:
    one, two = (np.array(ids, np.uint64).reshape(1, 1, 4) for ids in (ours, theirs))
    merged = whole(views.merge_instances([array(one), array(two)])).ravel().tolist()
    expected = [
        ("a", a) if a else ("b", b) if b else None for a, b in zip(ours, theirs, strict=True)
    ]
    for m, e in zip(merged, expected, strict=True):
        assert (m == 0) == (e is None)
        assert [n == m for n in merged] == [f == e for f in expected]


def test_ids_too_large_to_merge() -> None:
    big = array(np.full((1, 1, 1), 2**63, np.uint64), name="big")
    with pytest.raises(InputError, match="big: label 9223372036854775808 is too large"):
        whole(views.merge_instances([big, big, big]))


def test_joins_lie_where_all_have_voxels() -> None:
    shifted = array(IDS, offset=(40, 0, 20))
    both = views.union([array(IDS), shifted])
    assert both.roi == Roi((40, 0, 20), (120, 60, 60))
    assert np.array_equal(whole(both), (IDS[1:, :, 2:] != 0) | (IDS[:-1, :, :-2] != 0))
    total = views.add([array(RAW), array(RAW)])
    assert np.array_equal(whole(total), 2 * RAW.astype(int))  # no wrap-around at 256
    with pytest.raises(InputError, match="different grids"):
        views.concat([array(RAW), array(RAW, offset=(0, 5, 0))])
    with pytest.raises(InputError, match="the arrays to combine do not overlap"):
        views.concat([array(RAW), array(RAW, offset=(4000, 0, 0))])


def test_padding() -> None:
    padded = views.pad(array(IDS), Coordinate(40, 20, 0), 7)
    assert padded.offset == (-40, -20, 0)
    expected = np.pad(IDS, ((1, 1), (2, 2), (0, 0)), constant_values=7)
    assert np.array_equal(whole(padded), expected)
    with pytest.raises(InputError, match="whole voxels"):
        views.pad(array(IDS), Coordinate(39, 0, 0))


def test_coarser_voxels_take_the_mean_and_labels_a_value() -> None:
    half = resample(array(RAW), Coordinate(80, 20, 20), True)
    expected = RAW.reshape(2, 2, 3, 2, 4, 2).astype(float).mean(axis=(1, 3, 5))
    assert np.allclose(whole(half), expected, atol=1e-3)
    third = resample(array(IDS, size=(10, 10, 10)), Coordinate(10, 30, 10), False)
    assert np.array_equal(whole(third), IDS[:, 1::3])  # the voxel in the middle
    whole_voxels = resample(array(RAW), Coordinate(120, 40, 10), True)
    assert whole_voxels.shape == (1, 1, 8)


def test_finer_voxels_interpolate_between_centres() -> None:
    ramp = np.broadcast_to(np.arange(8.0), (4, 6, 8)).astype(np.float32)
    fine = whole(resample(array(ramp), Coordinate(40, 10, 5), True))
    assert np.allclose(fine[0, 0, 1:-1], (np.arange(1, 15) - 0.5) / 2)
    assert fine[0, 0, 0] == 0  # nothing is known beyond the first centre
    doubled = whole(resample(array(IDS), Coordinate(40, 5, 10), False))
    assert np.array_equal(doubled, IDS.repeat(2, axis=1))


def test_constant_and_channels() -> None:
    assert (whole(views.constant(array(IDS), 1)) == 1).all()
    assert whole(views.constant(array(IDS), 0.5)).dtype == np.float32
    with pytest.raises(InputError, match="needs an array with one channel axis"):
        views.select(array(RAW), [0])
    with pytest.raises(InputError, match="must lie between 0 and 1"):
        views.select(array(np.stack([RAW, RAW])), [2])


def test_a_source_that_fails_names_the_array_and_the_voxels() -> None:
    class Broken:
        shape, dtype = (4, 6, 8), np.dtype("u1")

        def __getitem__(self, index: Any) -> Any:
            raise OSError("disk on fire")

    broken = replace(array(RAW, name="raw=a.h5:raw"), source=Broken())
    with pytest.raises(InputError, match=r"raw=a.h5:raw: voxels 0:4 0:6 0:8 .* disk on fire"):
        whole(broken)


class TestOnGridOf:
    RAW = Array(np.zeros((4, 5)), Coordinate(4000, 1000), Coordinate(-300, 70), "nm", ("y", "-x"))

    def test_a_file_without_a_position_lies_where_raw_of_its_extent_lies(self) -> None:
        labels = Array(
            np.zeros((4, 5)), Coordinate(4000, 1000), Coordinate(0, 0), "nm", ("y", "x"),
            is_placed=False,
        )  # fmt: skip
        moved = views.on_grid_of(labels, self.RAW)
        assert (moved.roi, moved.axis_names) == (self.RAW.roi, ("y", "-x"))
        part = replace(labels, source=np.zeros((4, 4)))
        assert views.on_grid_of(part, self.RAW).roi == part.roi
        placed = replace(labels, is_placed=True)
        assert views.on_grid_of(placed, self.RAW).offset == (0, 0)

    def test_the_last_digits_of_a_float32_are_no_shift(self) -> None:
        size = 4 * 10**9
        raw = Array(np.zeros((9, 9)), Coordinate(size, size), Coordinate(-29599409103, 0), "mm")
        near = replace(raw, offset=Coordinate(-29599411011, 3 * size - 7))
        assert views.on_grid_of(near, raw).offset == (-29599409103, 3 * size)
        finer = replace(near, voxel_size=Coordinate(size + 3, size // 2))
        assert views.on_grid_of(finer, raw).voxel_size == (size, size // 2)
        shifted = replace(raw, offset=Coordinate(-29599409103 + size // 50, 0))
        assert views.on_grid_of(shifted, raw).offset == shifted.offset


def test_upright_is_the_same_voxels_at_the_same_places() -> None:
    data = np.arange(2 * 3 * 4).reshape(2, 3, 4)
    array = Array(data, Coordinate(10, 1), Coordinate(5, -7), "nm", ("-y", "x"))
    up = views.upright(array)
    assert up.axis_names == ("y", "x")
    assert up.roi == Roi((-35, -7), (30, 4))
    assert np.array_equal(up.read(up.roi), data[:, ::-1])
    part = Roi((-25, -6), (20, 2))
    assert np.array_equal(up.read(part), data[:, ::-1][:, 1:3, 1:3])
    assert views.upright(up) is up
