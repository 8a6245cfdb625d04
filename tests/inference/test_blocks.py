from __future__ import annotations

import numpy as np
import pytest
import torch
from funlib.geometry import Coordinate, Roi

from dacapo.errors import InputError
from dacapo.experiments.run import Run
from dacapo.inference.blocks import predict
from tests.conftest import small_run_config


@pytest.mark.parametrize("increase", [0, 2, 8, 16])
def test_blocks_of_any_size_give_the_same_prediction(increase: int) -> None:
    small = Run(small_run_config(f"architecture.eval_shape_increase={[increase] * 3}"))
    large = Run(small_run_config("architecture.eval_shape_increase=[40,40,40]"))
    dataset = small.datasplit.validate[0]
    a, b = predict(small, dataset), predict(large, dataset)
    assert a.shape == (6, 24, 32, 32)
    assert np.abs(a - b).max() < 1e-5


def test_zero_padding_is_not_felt_where_blocks_meet() -> None:
    same = ("architecture.padding=same", "architecture.input_shape=[32,32,32]")
    small = Run(small_run_config(*same, "architecture.eval_shape_increase=[8,8,8]"))
    large = Run(small_run_config(*same, "architecture.eval_shape_increase=[64,64,64]"))
    dataset = small.datasplit.validate[0]
    a, b = predict(small, dataset), predict(large, dataset)
    assert np.abs(a - b).max() < 1e-5
    none = "architecture.eval_shape_increase=[0,0,0]"
    tight = Run(small_run_config(same[0], "architecture.input_shape=[20,20,20]", none))
    with pytest.raises(InputError, match="eval_shape_increase must be more than twice that"):
        predict(tight, dataset)


def test_agrees_with_one_padded_forward_pass() -> None:
    run = Run(small_run_config())
    dataset = run.datasplit.validate[0]
    raw = dataset.read_raw(dataset.gt.roi)
    padded = np.pad(raw, ((0, 0), (8, 8), (8, 8), (8, 8)), mode="reflect")
    run.model.eval()
    with torch.no_grad():
        whole = run.train_state.forward(torch.from_numpy(padded)[None])[0].numpy()
    assert np.abs(predict(run, dataset) - whole).max() < 1e-5


def test_a_part_sees_raw_beyond_itself() -> None:
    """Only the edge of the volume is mirrored."""
    run = Run(small_run_config())
    dataset = run.datasplit.validate[0]
    whole = predict(run, dataset)
    size = dataset.gt.voxel_size
    begin = Coordinate(8, 10, 12)  # shifted by multiples of the network's period
    part = predict(run, dataset, Roi(begin * size, Coordinate(7, 9, 11) * size))
    assert np.abs(part - whole[:, 8:15, 10:19, 12:23]).max() < 1e-5
