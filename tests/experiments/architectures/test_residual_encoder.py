"""The residual encoder U-Net."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import avg_pool3d, conv3d, instance_norm, leaky_relu

from dacapo.errors import InputError
from dacapo.experiments.architectures import ResidualEncoderConfig
from dacapo.experiments.architectures.residual_encoder import ActivationNorm
from dacapo.experiments.run import Run
from dacapo.experiments.run_config import RunConfig
from dacapo.inference.scoring import validate
from dacapo.nn.residual_encoder import ResidualBlock, ResidualEncoderUNet
from tests.conftest import composed, small_run_config

SMALL = {"num_fmaps": 4, "max_fmaps": 12, "blocks": [1, 2, 2]}


def config(dims: int = 3, **more: Any) -> ResidualEncoderConfig:
    values: dict[str, Any] = {
        "input_shape": [16] * dims,
        "downsample_factors": [[1, *[2] * (dims - 1)], [2] * dims],
        **SMALL,
        **more,
    }
    return ResidualEncoderConfig(**values)


@pytest.mark.parametrize("preset", ["resenc_m", "resenc_l"])
def test_presets_have_as_many_weights_as_those_of_nnunet(
    preset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted in nnU-Net's own class, without its heads."""
    monkeypatch.setattr("dacapo.nn.residual_encoder.initialize", lambda network: None)
    architecture = RunConfig.from_hydra(composed(f"architecture={preset}")).architecture_config
    assert isinstance(architecture, ResidualEncoderConfig)
    with torch.device("meta"):
        network = ResidualEncoderUNet(
            1, architecture.fmaps, architecture.blocks, architecture.kernels,
            architecture.downsample_factors, "instance",
        )  # fmt: skip
    assert architecture.fmaps == [32, 64, 128, 256, 320, 320]
    assert sum(p.numel() for p in network.parameters()) == 102_348_160


@pytest.mark.parametrize("norm", ActivationNorm)
@pytest.mark.parametrize("dims", [2, 3])
def test_every_weight_is_trained_and_shapes_stay(dims: int, norm: ActivationNorm) -> None:
    architecture = config(dims, norm=norm).build()
    for module in architecture.modules():
        if isinstance(module, ResidualBlock):
            nn.init.ones_(module.second.norm.weight)  # type: ignore[arg-type]
    raw = torch.rand(2, 1, *[16] * dims)
    out = architecture(raw)
    assert out.shape == (2, 4, *[16] * dims)
    assert tuple(architecture.period) == (2, *[4] * (dims - 1))
    out.square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in architecture.parameters())


def test_a_block_starts_as_its_shortcut() -> None:
    torch.manual_seed(0)
    block = ResidualBlock(3, 5, [3] * 3, [1, 2, 2], "instance")
    block.silence()
    x = torch.randn(2, 3, 4, 8, 8)
    narrow = block.shortcut[1]
    assert isinstance(narrow, nn.Module)
    expected = instance_norm(conv3d(avg_pool3d(x, (1, 2, 2)), narrow.conv.weight))  # type: ignore[arg-type]
    torch.testing.assert_close(block(x), leaky_relu(expected, 0.01))


def test_weights_depend_on_the_seed_alone() -> None:
    states = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        states.append(config().build().state_dict())
    one, same, other = states
    assert all(torch.equal(v, same[k]) for k, v in one.items())
    kernels = [k for k, v in one.items() if v.ndim == 5]
    assert not any(torch.equal(one[k], other[k]) for k in kernels)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"blocks": [1, 2]}, "architecture.blocks needs 3 levels"),
        ({"kernel_sizes": [[3] * 3] * 2}, "architecture.kernel_sizes needs 3 levels"),
        ({"kernel_sizes": [[2, 3, 3], [3] * 3, [3] * 3]}, "architecture.kernel_sizes: [2, 3, 3]"),
        ({"downsample_factors": [[2, 2], [2, 2, 2]]}, "architecture.downsample_factors: [2, 2]"),
        ({"max_fmaps": 3}, "num_fmaps=4 must not be greater than architecture.max_fmaps=3"),
        ({"num_fmaps": 0}, "num_fmaps=0 must be at least 1"),
        ({"norm": None, "input_shape": [15] * 3}, "architecture.input_shape"),
    ],
)
def test_what_does_not_fit_is_refused(more: dict[str, Any], message: str) -> None:
    more = {k: v for k, v in more.items() if v is not None}
    with pytest.raises(InputError, match=re.escape(message)):
        config(**more).build()


def test_a_run_trains_and_validates() -> None:
    overrides = [f"architecture.{k}={v}" for k, v in SMALL.items()]
    run = Run(
        small_run_config(
            "architecture=resenc_m",
            "architecture.input_shape=[24,24,24]",
            "architecture.downsample_factors=[[2,2,2],[2,2,2]]",
            "architecture.norm=group",
            *overrides,
        )
    )
    assert all(np.isfinite(run.train_step(batch).loss) for batch in run.batches(0))
    assert np.isfinite(validate(run).scores).all()
