from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from funlib.geometry import Coordinate, Roi

from dacapo.arrays.views import lazy
from dacapo.experiments.run import Run
from dacapo.inference.blocks import predict, uses_windows, window_stride
from dacapo.inference.seams import MAX_SEAM, largest_seam
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


WINDOWED = {
    "padded": ("architecture.padding=same", "architecture.input_shape=[20,20,20]"),
    "group norm": ("architecture.norm=group", "architecture.num_fmaps=8"),
    "both": (
        "architecture.padding=same", "architecture.input_shape=[20,20,20]",
        "architecture.norm=instance",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", WINDOWED)
def test_windows_are_blended_on_one_grid(kind: str) -> None:
    """The mean over all windows that see a voxel, written down voxel by voxel."""
    none = "architecture.eval_shape_increase=[0,0,0]"
    run = Run(small_run_config(none, *WINDOWED[kind]))
    assert uses_windows(run)
    dataset = run.datasplit.validate[0]
    whole = predict(run, dataset)
    size = dataset.gt.voxel_size
    part = Roi(dataset.gt.roi.begin + Coordinate(5, 3, 11) * size, Coordinate(9, 13, 7) * size)
    assert np.abs(predict(run, dataset, part) - whole[:, 5:14, 3:16, 11:18]).max() < 1e-5

    read = run.model.input_shape
    _, window = run.model.compute_output_shape(read)
    stride = window_stride(run) / size
    context = (read - window) / 2
    assert stride == (window / 2 if "padding=same" in WINDOWED[kind][0] else window * 3 / 4)
    voxel = Coordinate(3, 17, 30)
    values, weights = [], []
    first = [range(-2, v // s + 1) for v, s in zip(voxel, stride, strict=True)]
    run.model.eval()
    for number in itertools.product(*first):
        begin = Coordinate(number) * stride
        inside = voxel - begin
        if any(i >= w for i, w in zip(inside, window, strict=True)):
            continue
        raw = dataset.read_raw(Roi((begin - context) * size, read * size))
        with torch.no_grad():
            out = run.train_state.forward(torch.from_numpy(raw)[None])[0]
        far = [(i - (w - 1) / 2) / (w / 8) for i, w in zip(inside, window, strict=True)]
        weights.append(np.exp(-0.5 * np.square(far).sum()))
        values.append(out[(slice(None), *inside)].numpy())
    assert len(weights) >= 8 if "padding=same" in WINDOWED[kind][0] else 1
    expected = np.average(values, axis=0, weights=weights)
    assert np.abs(whole[(slice(None), *voxel)] - expected).max() < 1e-5


def test_agrees_with_one_padded_forward_pass() -> None:
    run = Run(small_run_config("trainer.device=cpu"))
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


@pytest.mark.parametrize("kind", ["valid", *WINDOWED])
def test_no_seams(kind: str) -> None:
    none = "architecture.eval_shape_increase=[0,0,0]"
    run = Run(small_run_config(none, *WINDOWED.get(kind, ())))
    dataset = run.datasplit.validate[0]

    def read(roi: Roi) -> np.ndarray:
        return predict(run, dataset, roi)

    shown = lazy(dataset.gt, dataset.gt.roi, (6,), np.float32, read)
    assert largest_seam(shown, 10 if kind != "valid" else 8) < 1e-5

    def torn(roi: Roi) -> np.ndarray:
        return read(roi) + 1e-3 * roi.begin[0] / dataset.gt.voxel_size[0]

    assert largest_seam(lazy(dataset.gt, dataset.gt.roi, (6,), np.float32, torn), 8) > MAX_SEAM
