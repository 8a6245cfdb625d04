"""Norms, residual blocks, attention and deep supervision."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from funlib.geometry import Coordinate
from torch import nn

from dacapo.errors import InputError
from dacapo.experiments.architectures import Norm, Padding, UNetConfig
from dacapo.experiments.run import Run
from dacapo.inference.blocks import predict
from dacapo.inference.scoring import validate
from dacapo.nn.unet import AttentionGate
from tests.conftest import small_run_config


def unet(dims: int = 3, **more: Any) -> Any:
    values = {
        "input_shape": [44] * dims,
        "downsample_factors": [[2] * dims] * 2,
        "num_fmaps": 4,
        "fmap_inc_factor": 2,
        **more,
    }
    return UNetConfig(**values).build()


OPTIONS: list[dict[str, Any]] = [
    {"norm": Norm.batch},
    {"norm": Norm.instance, "residual": True},
    {"norm": Norm.group, "residual": True, "attention": True},
    {"attention": True, "deep_supervision": True},
    {"residual": True, "deep_supervision": True, "padding": Padding.same},
    {"deep_supervision": True, "upsample_factors": [[2, 2]]},
]


@pytest.mark.parametrize("options", OPTIONS, ids="-".join)
@pytest.mark.parametrize("dims", [2, 3])
def test_shapes_stay_as_computed_and_every_weight_is_trained(
    options: dict[str, Any], dims: int
) -> None:
    if "upsample_factors" in options and dims == 3:
        options = {**options, "upsample_factors": [[2, 2, 2]]}
    architecture = unet(dims, **options)
    raw = torch.rand(2, 1, *[44] * dims)
    outputs = architecture.forward_with_aux(raw)
    expected = architecture.compute_output_shape(Coordinate([44] * dims))
    assert len(outputs) == (2 if options.get("deep_supervision") else 1)
    assert all(o.shape == (2, 4, *expected) for o in outputs)
    sum(o.square().mean() for o in outputs).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in architecture.parameters())
    torch.testing.assert_close(architecture(raw), architecture.forward_with_aux(raw)[0])


def test_a_residual_block_by_hand() -> None:
    """With convolutions of 0, a level hands on what it was given, cropped."""
    architecture = unet(residual=True, downsample_factors=[], num_fmaps=1, input_shape=[10, 10, 10])
    for parameter in architecture.parameters():
        nn.init.zeros_(parameter)
    raw = torch.rand(1, 1, 10, 10, 10)
    torch.testing.assert_close(architecture(raw), raw[..., 2:-2, 2:-2, 2:-2])


def test_an_attention_gate_by_hand() -> None:
    gate = AttentionGate(2, 3)
    for parameter in gate.parameters():
        nn.init.zeros_(parameter)
    skip = torch.rand(1, 2, 4, 4, 4)
    torch.testing.assert_close(gate(skip, skip), skip / 2)  # sigmoid(0)


def test_a_coarse_level_lies_where_the_output_does() -> None:
    """A bright spot in the middle is in the middle of both outputs."""
    architecture = unet(deep_supervision=True, input_shape=[92, 92, 92])
    for name, parameter in architecture.named_parameters():
        nn.init.constant_(parameter, 0.0 if name.endswith("bias") else 1.0)
    raw = torch.zeros(1, 1, 92, 92, 92)
    raw[..., 45:47, 45:47, 45:47] = 1
    for output in architecture.forward_with_aux(raw):
        map_ = output.detach()[0, 0]
        grid = torch.arange(map_.shape[0]) - (map_.shape[0] - 1) / 2
        for axis in range(3):
            along = map_.sum([a for a in range(3) if a != axis])
            assert (along * grid).sum() / along.sum() == pytest.approx(0, abs=0.6)


def test_the_loss_counts_coarser_levels_half() -> None:
    more = [
        "architecture.downsample_factors=[[2,2,2],[2,2,2]]", "architecture.input_shape=[44,44,44]",
        "architecture.eval_shape_increase=[0,0,0]", "datasplit.train_shape=[64,64,64]",
    ]  # fmt: skip
    run = Run(small_run_config(*more, "architecture.deep_supervision=true"))
    batch = next(run.batches(0))
    fine, coarse = run.train_state.forward_with_aux(batch.raw)
    each = [run.task.loss.compute(o, batch.target, batch.weight) for o in (fine, coarse)]
    expected = (each[0] + each[1] / 2) / 1.5
    assert run.train_step(batch).loss == pytest.approx(expected.item(), rel=1e-5)
    validate(run)


def test_what_depends_on_the_window_is_predicted_in_windows_of_training() -> None:
    run = Run(small_run_config("architecture.norm=instance"))
    shapes = set()
    forward = run.train_state.forward

    def noted(raw: torch.Tensor) -> torch.Tensor:
        shapes.add(tuple(raw.shape[2:]))
        return forward(raw)

    run.train_state.forward = noted  # type: ignore[method-assign]
    dataset = run.datasplit.validate[0]
    roi = dataset.gt.roi
    predict(run, dataset)
    predict(run, dataset, type(roi)(roi.begin, dataset.gt.voxel_size * 7))
    assert shapes == {(28, 28, 28)}


def test_deep_supervision_needs_a_level_between() -> None:
    with pytest.raises(InputError, match="deep_supervision needs two or more"):
        unet(deep_supervision=True, downsample_factors=[[2, 2, 2]])


def test_a_network_that_feels_padding_everywhere_is_validated() -> None:
    small = ["architecture.eval_shape_increase=null", "architecture.input_shape=[20,20,20]"]
    deep = "architecture.downsample_factors=[[2,2,2],[2,2,2]]"
    run = Run(small_run_config("architecture.padding=same", *small, deep))
    scores = validate(run)
    assert np.isfinite(scores.scores).any()
