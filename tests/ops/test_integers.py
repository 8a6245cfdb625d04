from __future__ import annotations

import numpy as np
import pytest
import torch

from dacapo.ops.integers import as_float, as_signed, equal_to, small_ids

TYPES = [np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int32, np.uint64, np.int64]


@pytest.mark.parametrize("dtype", TYPES)
def test_ids_stay_apart_and_background_stays_0(dtype: type) -> None:
    info = np.iinfo(dtype)
    ids = np.array([0, 1, info.max, info.max - 1, info.max // 2, info.max // 2 + 1, 1, 0], dtype)
    small = small_ids(torch.from_numpy(ids))
    assert small.dtype == torch.int32
    assert (small == 0).tolist() == (ids == 0).tolist()
    for i, one in enumerate(ids):
        assert (small == small[i]).tolist() == (ids == one).tolist()


@pytest.mark.parametrize("dtype", TYPES)
def test_a_number_that_a_type_cannot_hold_is_equal_to_nothing(dtype: type) -> None:
    info = np.iinfo(dtype)
    values = np.array([0, 1, 44, info.max, info.min, info.max - 1], dtype)
    for number in (
        0,
        1,
        44,
        300,
        -1,
        -128,
        70000,
        2**32 + 5,
        2**63 - 1,
        2**64 - 1,
        2**63,
        info.max,
    ):
        expected = [int(value) == number for value in values]
        assert equal_to(torch.from_numpy(values), int(number)).tolist() == expected


@pytest.mark.parametrize("dtype", TYPES)
def test_numbers_stay_what_they_are(dtype: type) -> None:
    info = np.iinfo(dtype)
    values = np.array([0, 1, min(info.max, 2**63 - 1), info.min], dtype)
    signed = as_signed(torch.from_numpy(values))
    assert signed.tolist() == values.tolist()
    floats = as_float(torch.from_numpy(values))
    assert floats.tolist() == values.astype(np.float32).tolist()
