from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import zarr
from funlib.geometry import Coordinate, Roi

from dacapo.arrays import Array, open_array
from dacapo.errors import InputError


def volume(channels: int = 0) -> Array:
    """3 x 4 voxels of 10 x 5 world units that begin at (100, 200)."""
    shape = ((channels,) if channels else ()) + (3, 4)
    data = np.arange(np.prod(shape)).reshape(shape)
    return Array(data, Coordinate(10, 5), Coordinate(100, 200), "nm", ("y", "x"), "vol")


def test_where_it_lies() -> None:
    array = volume(channels=2)
    assert array.shape == (3, 4)
    assert array.channel_shape == (2,)
    assert array.roi == Roi((100, 200), (30, 20))


def test_read_a_part() -> None:
    assert volume().read(Roi((110, 205), (10, 10))).tolist() == [[5, 6]]
    assert volume(2).read(Roi((110, 205), (10, 10))).tolist() == [[[5, 6]], [[17, 18]]]


def test_beyond_the_edge() -> None:
    roi = Roi((80, 200), (30, 5))
    with pytest.raises(InputError, match="leaves the array"):
        volume().read(roi)
    assert volume().read(roi, out_of_bounds="zero")[:, 0].tolist() == [0, 0, 0]
    assert volume().read(roi, out_of_bounds="mirror")[:, 0].tolist() == [8, 4, 0]
    assert volume().read(Roi((500, 500), (10, 5)), out_of_bounds="zero").tolist() == [[0]]


def test_mirror_agrees_with_numpy_far_beyond() -> None:
    padded = np.pad(volume().in_memory().source, ((7, 9), (11, 2)), mode="reflect")
    roi = Roi((100 - 70, 200 - 55), (190, 85))
    assert np.array_equal(volume().read(roi, out_of_bounds="mirror"), padded)


def test_mirror_within_one_side_only_reads_a_run_backwards() -> None:
    data = np.arange(5)[None].repeat(2, 0)
    array = Array(data, Coordinate(1, 1), Coordinate(0, 0), axis_names=("y", "x"))
    assert array.read(Roi((0, -4), (1, 3)), out_of_bounds="mirror").tolist() == [[4, 3, 2]]


def test_off_the_grid() -> None:
    with pytest.raises(InputError, match="is not aligned with the voxel grid"):
        volume().read(Roi((103, 200), (10, 5)))


def test_crop_is_a_view_that_keeps_its_place() -> None:
    whole = volume(channels=2)
    part = whole.crop(Roi((110, 205), (20, 10)))
    assert part.roi == Roi((110, 205), (20, 10))
    assert np.array_equal(part.read(part.roi), whole.read(part.roi))
    assert np.array_equal(part.in_memory().source, whole.read(part.roi))
    inner = part.crop(Roi((120, 210), (10, 5)))
    assert np.array_equal(inner.read(inner.roi), whole.read(inner.roi))
    with pytest.raises(InputError, match="leaves the array"):
        whole.crop(Roi((90, 200), (10, 5)))


def test_ids_up_to_2_63_survive() -> None:
    big = np.array([[0, 2**63 - 1, 2**63]], np.uint64)
    array = Array(big, Coordinate(1, 1), Coordinate(0, 0), axis_names=("y", "x"))
    assert np.array_equal(array.read(array.roi), big)
    assert array.read(Roi((0, -1), (1, 3)), out_of_bounds="zero").tolist() == [[0, 0, 2**63 - 1]]


def test_more_than_the_memory_is_not_read(tmp_path: Path) -> None:
    """tensorstore ends the whole process when it gets no memory."""
    zarr.create_array(str(tmp_path / "a.zarr"), shape=(2**16,) * 3, chunks=(64,) * 3, dtype="u2")
    huge = open_array(str(tmp_path / "a.zarr"), voxel_size=[1, 1, 1])
    for read in (lambda: huge.read(huge.roi), huge.in_memory):
        with pytest.raises(InputError, match=r"reading 512.0 TiB at once needs more than"):
            read()


def test_regions_on_a_grid_that_does_not_begin_at_a_voxel() -> None:
    array = Array(np.zeros((4, 4)), Coordinate(10, 10), Coordinate(-35, 7))
    assert array.covering(Roi((-30, 8), (10, 9))) == Roi((-35, 7), (20, 10))
    assert array.covering(Roi((-35, 17), (10, 20))) == Roi((-35, 17), (10, 20))
