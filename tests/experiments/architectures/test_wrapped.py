"""Networks that say nothing of their own shapes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from funlib.geometry import Coordinate
from torch import Tensor, nn

from dacapo.errors import InputError
from dacapo.experiments.architectures import MonaiConfig, MonaiNetwork, WrappedConfig, network
from dacapo.experiments.run import Run
from dacapo.experiments.run_config import RunConfig
from dacapo.inference.blocks import predict
from dacapo.inference.scoring import validate
from dacapo.nn import probe
from tests.conftest import SMALL_AFFINITIES, composed


@network
class Halving(nn.Module):
    """Valid, then half as many voxels, then up again: 2 (((n - 2) / 2) - 2)."""

    def __init__(self, channels: int = 3, factor: int = 2) -> None:
        super().__init__()
        self.first = nn.Conv3d(1, channels, 3)
        self.second = nn.Conv3d(channels, channels, 3)
        self.norm = nn.BatchNorm3d(channels)
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x).relu()
        if any(n % self.factor for n in x.shape[2:]):
            raise ValueError("odd")
        x = nn.functional.max_pool3d(x, self.factor)
        return nn.functional.interpolate(self.norm(self.second(x)), scale_factor=self.factor)


@network
def downsampling(**_: Any) -> nn.Module:
    return nn.Conv3d(1, 2, 4, stride=2, padding=1)


@network
def fixed() -> nn.Module:
    return nn.Sequential(nn.Flatten(2), nn.Linear(512, 512), nn.Unflatten(2, (8, 8, 8)))


@network
def two() -> nn.Module:
    class Two(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return x, x

    return Two()


def wrapped(name: str, shape: int = 20, **more: Any) -> Any:
    return WrappedConfig(network=name, input_shape=[shape] * 3, **more).build()


def test_the_geometry_is_found_out() -> None:
    ours = wrapped("Halving", eval_shape_increase=[4, 4, 4])
    assert ours.num_out_channels == 3
    assert ours.compute_output_shape(Coordinate(20, 20, 20)) == (14, 14, 14)
    assert ours.period == (2, 2, 2)
    assert ours.halo == (0, 0, 0)
    assert not ours.window_dependent
    assert ours.scale(Coordinate(8, 8, 8)) == (8, 8, 8)
    assert ours.smallest_input_shape(Coordinate(15, 14, 18)) == (22, 20, 24)


def test_an_output_of_larger_voxels() -> None:
    ours = wrapped("downsampling")
    assert ours.compute_output_shape(Coordinate(20, 20, 20)) == (10, 10, 10)
    assert ours.scale(Coordinate(4, 4, 4)) == (8, 8, 8)
    assert ours.period == (2, 2, 2)


def test_a_network_of_one_size() -> None:
    ours = wrapped("fixed", shape=8, halo=[1, 1, 1])
    assert ours.period == (8, 8, 8)
    assert ours.smallest_input_shape(Coordinate(20, 20, 20)) == (8, 8, 8)
    with pytest.raises(InputError, match=r"does not take 1 channels of \[12, 12, 12\] voxels"):
        wrapped("fixed", shape=8, eval_shape_increase=[4, 4, 4])


def test_probing_changes_nothing() -> None:
    torch.manual_seed(0)
    layer = Halving()
    before = {k: v.clone() for k, v in layer.state_dict().items()}
    layer.norm.eval()
    state = torch.get_rng_state()
    assert probe.steps(layer, (1, 1, 20, 20, 20)) == [(2, 2)] * 3
    assert all(torch.equal(v, layer.state_dict()[k]) for k, v in before.items())
    assert torch.equal(torch.get_rng_state(), state)
    assert layer.training
    assert not layer.norm.training


SMALL = [*SMALL_AFFINITIES[:3], *SMALL_AFFINITIES[7:]]


def run_of(*architecture: str) -> Run:
    return Run(RunConfig.from_hydra(composed(*SMALL, *architecture)))


def test_it_trains_and_predicts_independently_of_blocks() -> None:
    run = run_of(
        "architecture=wrapped", "architecture.network=Halving", "architecture.arguments.channels=4",
        "architecture.input_shape=[20,20,20]", "architecture.eval_shape_increase=[8,8,8]",
    )  # fmt: skip
    assert run.model.architecture.num_out_channels == 4
    assert all(run.train_step(batch).loss > 0 for batch in run.batches(0))
    dataset = run.datasplit.validate[0]
    whole = predict(run, dataset)
    roi = dataset.gt.roi
    part = type(roi)(roi.begin + dataset.gt.voxel_size * 4, dataset.gt.voxel_size * 6)
    inner = predict(run, dataset, part)
    torch.testing.assert_close(
        torch.from_numpy(inner), torch.from_numpy(whole[:, 4:10, 4:10, 4:10]), atol=1e-5, rtol=0
    )


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            {"name": "Nobody"},
            r"architecture.network=Nobody: unknown network; registered are .*Halving",
        ),
        ({"name": "Halving", "arguments": {"depth": 3}}, r"cannot be made with .*depth"),
        (
            {"name": "Halving", "shape": 21},
            r"architecture=Halving: the network does not take .*odd",
        ),
        ({"name": "two"}, "gives a tuple, not one tensor"),
        ({"name": "Halving", "halo": [1]}, r"architecture.halo: \[1\] must hold 3 numbers"),
    ],
)
def test_mistakes(more: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        wrapped(**more)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        (MonaiNetwork.swin_unetr, {"feature_size": 12, "depths": [1, 1, 1, 1]}),
        (MonaiNetwork.segresnet, {"init_filters": 8, "blocks_down": [1, 1], "blocks_up": [1]}),
        (MonaiNetwork.dynunet, {"filters": [4, 8, 8, 8]}),
        (MonaiNetwork.mednext, {"init_filters": 8}),
    ],
    ids=lambda v: getattr(v, "name", ""),
)
def test_networks_of_monai(name: MonaiNetwork, arguments: dict[str, Any]) -> None:
    pytest.importorskip("monai", reason="needs MONAI")
    shape = [64, 64] if name is MonaiNetwork.swin_unetr else [32, 32, 32]
    ours = MonaiConfig(network=name, input_shape=shape, fmaps_out=6, arguments=arguments).build()
    assert ours.num_out_channels == 6
    assert ours.compute_output_shape(Coordinate(shape)) == tuple(shape)
    assert all(32 % p == 0 for p in ours.period)
    assert ours.window_dependent
    assert ours.train()(torch.rand(1, 1, *shape)).shape == (1, 6, *shape)


def test_a_network_of_monai_trains() -> None:
    pytest.importorskip("monai", reason="needs MONAI")
    run = run_of(
        "architecture=segresnet", "architecture.input_shape=[16,16,16]",
        "architecture.arguments={init_filters: 8, blocks_down: [1,1], blocks_up: [1]}",
        "datasplit.validate_shape=[16,16,16]",
    )  # fmt: skip
    assert all(run.train_step(batch).loss > 0 for batch in run.batches(0))
    validate(run)
