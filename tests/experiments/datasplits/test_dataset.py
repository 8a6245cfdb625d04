from __future__ import annotations

import numpy as np
import pytest
from funlib.geometry import Coordinate, Roi

from dacapo.arrays import Array
from dacapo.errors import InputError
from dacapo.experiments.datasplits.datasets import Dataset
from dacapo.experiments.datasplits.datasets.statistics import check_finite, find_range
from dacapo.experiments.datasplits.datasplit import DataSplit


def array(
    data: np.ndarray, size: tuple[int, ...] = (4, 2), offset: tuple[int, ...] = (0, 0),
    name: str = "array",
) -> Array:  # fmt: skip
    return Array(data, Coordinate(size), Coordinate(offset), "nm", ("y", "x"), name)


RAW = array(np.arange(60, dtype=np.uint8).reshape(6, 10), name="raw")
GT = array(np.arange(1, 13, dtype=np.uint64).reshape(3, 4), offset=(8, 4), name="gt")


def dataset(**changes: object) -> Dataset:
    parts = {"raw": RAW, "gt": GT, "mask": None, "intensity_range": (0.0, 255.0), **changes}
    return Dataset("a", **parts)  # type: ignore[arg-type]


def test_raw_is_normalised_and_has_a_channel() -> None:
    raw = dataset(intensity_range=(10.0, 60.0)).read_raw(GT.roi)
    assert raw.shape == (1, 3, 4)
    assert raw.dtype == np.float32
    assert raw[0, 0, 0] == pytest.approx((22 - 10) / 50)


def test_raw_of_several_channels() -> None:
    two = array(np.stack([RAW.source, RAW.source]), name="raw")
    assert dataset(raw=two).num_channels == 2
    assert dataset(raw=two).read_raw(GT.roi).shape == (2, 3, 4)


def test_labels_and_mask_beyond_the_labels_are_0() -> None:
    roi = Roi((4, 2), (20, 14))
    labels, mask = dataset().read_gt(roi), dataset().read_mask(roi)
    assert labels.tolist()[0] == [0] * 7
    assert labels.tolist()[1] == [0, 1, 2, 3, 4, 0, 0]
    assert np.array_equal(mask, labels != 0)


def test_labels_of_another_byte_order_become_native() -> None:
    big = array(GT.source.astype(">u2"), offset=(8, 4), name="gt")
    labels = dataset(gt=big).read_gt(GT.roi)
    assert labels.dtype.isnative
    assert np.array_equal(labels, GT.source)


def test_a_mask_may_be_larger_than_raw() -> None:
    wide = array(np.ones((8, 14), np.uint8), offset=(-4, -4), name="mask")
    assert dataset(mask=wide).read_mask(GT.roi).all()


def test_a_mask_larger_than_the_labels_counts_within_them_only() -> None:
    whole = array(np.ones((6, 10), np.int32), name="mask")
    masked = dataset(mask=whole)
    assert masked.read_mask(RAW.roi).sum() == 12
    assert masked.read_mask(GT.roi).dtype == np.uint8


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gt": array(np.ones((3, 4)), name="gt")}, "gt: labels must be integers, not float64"),
        ({"gt": array(np.ones((3, 4), int), (6, 2), name="gt")}, "one must divide the other"),
        (
            {"gt": array(np.ones((3, 4), int), offset=(2, 0), name="gt")},
            "by 0.5 voxels of raw",
        ),
        ({"gt": array(np.ones((3, 4), int), offset=(400, 0), name="gt")}, "do not overlap"),
        ({"gt": array(np.ones((9, 4), int), name="gt")}, "gt reaches beyond raw"),
        ({"gt": array(np.ones((2, 3, 4), int), name="gt")}, "one channel expected"),
        ({"mask": array(np.ones((2, 4), int), name="mask")}, "mask does not cover gt"),
        (
            {"mask": array(np.ones((6, 20), int), (4, 1), name="mask")},
            "must have the same voxel size",
        ),
    ],
)
def test_what_does_not_fit(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        dataset(**changes)


def test_nothing_annotated() -> None:
    empty = array(np.zeros((3, 4), int), offset=(8, 4), name="gt")
    background = array(np.ones((3, 4), int), offset=(8, 4), name="mask")
    for to_score in (True, False):
        dataset().check_annotated(to_score)
        with pytest.raises(InputError, match="dataset a: no voxel is annotated: gt 0 everywhere"):
            dataset(gt=empty).check_annotated(to_score)
        with pytest.raises(InputError, match="no voxel is annotated: gt, or gt is 0 everywhere"):
            dataset(mask=empty).check_annotated(to_score)
    dataset(gt=empty, mask=background).check_annotated(to_score=False)  # background by choice
    with pytest.raises(InputError, match="no voxel is annotated"):
        dataset(gt=empty, mask=background).check_annotated(to_score=True)


def test_pixels_and_nanometres_do_not_mix() -> None:
    pixels = Array(GT.source, GT.voxel_size, GT.offset, "pixel", ("y", "x"), "gt")
    with pytest.raises(InputError, match="gt is measured in pixel, raw in nm"):
        dataset(gt=pixels)


def test_labels_may_be_true_and_false() -> None:
    ground_truth = array(np.ones((3, 4), bool), offset=(8, 4), name="gt")
    assert dataset(gt=ground_truth).read_gt(GT.roi).dtype == np.uint8


def test_values_that_are_not_finite_are_found_in_any_slab() -> None:
    data = np.zeros((200, 3), np.float32)
    check_finite(array(data))
    data[150, 2] = np.inf
    with pytest.raises(InputError, match=r"first at voxel \[150, 2\]"):
        check_finite(array(data))
    channels = np.zeros((2, 200, 3), np.float32)
    channels[1, 100, 1] = np.nan
    with pytest.raises(InputError, match=r"first at voxel \[100, 1\]"):
        check_finite(array(channels))


def test_the_range_of_intensities() -> None:
    assert find_range(RAW) == (0, 255)
    wide = np.full((200, 3), 100, np.uint16)
    wide[0, 0], wide[199, 2] = 7, 4000
    assert find_range(array(wide)) == (7, 4000)
    with pytest.raises(InputError, match="all raw values are 3"):
        find_range(array(np.full((4, 4), 3, np.int16)))


def test_a_split_has_names_that_differ_and_one_voxel_size() -> None:
    with pytest.raises(InputError, match=r"datasplit.validate is empty"):
        DataSplit([dataset()], [])
    with pytest.raises(InputError, match=r"datasplit.train: names must differ, got \['a', 'a'\]"):
        DataSplit([dataset(), dataset()], [dataset()])
    coarse = dataset(
        raw=array(np.zeros((6, 10), np.uint8), (8, 4), name="coarse"),
        gt=array(np.ones((6, 10), int), (8, 4), name="gt"),
    )
    with pytest.raises(InputError, match=r"coarse: voxel size .* one model works at one"):
        DataSplit([dataset()], [coarse])


def test_an_ignored_label_is_not_annotated() -> None:
    some = dataset(ignore_label=3)
    assert some.read_mask(GT.roi).tolist() == [[1, 1, 0, 1], [1] * 4, [1] * 4]
    assert some.read_gt(GT.roi)[0, 2] == 3  # the labels themselves stay as they are
    largest = array(np.full((3, 4), 2**63, np.uint64), offset=(8, 4), name="gt")
    with pytest.raises(InputError, match="no voxel is annotated"):
        dataset(gt=largest, ignore_label=2**63).check_annotated(to_score=True)


def test_classes_may_be_annotated_by_themselves() -> None:
    assert dataset().annotates(["a", "b"]) == [True, True]
    assert dataset(classes=["b"]).annotates(["a", "b"]) == [False, True]
