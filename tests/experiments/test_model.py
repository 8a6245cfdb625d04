from __future__ import annotations

import pytest
import torch
from funlib.geometry import Coordinate
from torch import Tensor, nn

from dacapo.experiments import Model
from dacapo.experiments.architectures import UNetConfig
from dacapo.experiments.architectures.architecture import Architecture


class Valid(Architecture):
    """A convolution and a batch norm; does not know its own output shape."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(2, 5, 3), nn.BatchNorm2d(5), nn.Dropout(0.5))

    @property
    def input_shape(self) -> Coordinate:
        return Coordinate(10, 12)

    @property
    def eval_shape_increase(self) -> Coordinate:
        return Coordinate(4, 0)

    @property
    def num_in_channels(self) -> int:
        return 2

    @property
    def num_out_channels(self) -> int:
        return 5

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return y


def model() -> Model:
    return Model(Valid(), nn.Conv2d(5, 3, 1), nn.Sigmoid())


def test_attributes() -> None:
    ours = model()
    assert (ours.num_in_channels, ours.num_out_channels) == (2, 3)
    assert ours.input_shape == (10, 12)
    assert ours.output_shape == (8, 10)
    assert ours.eval_input_shape == (14, 12)
    assert ours.scale(Coordinate(4, 4)) == (4, 4)


def test_the_activation_is_for_eval_mode_only() -> None:
    ours = model()
    x = 10 * torch.randn(1, 2, 10, 12)
    assert ours.train()(x).abs().max() > 1
    assert ours.eval()(x).min() >= 0
    assert Model(Valid(), nn.Conv2d(5, 3, 1)).eval()(x).min() < 0


@pytest.mark.parametrize("training", [True, False])
def test_computing_a_shape_changes_nothing(training: bool) -> None:
    ours = model().train(training)
    ours.prediction_head.eval()  # a mixed mode must survive too
    before = {k: v.clone() for k, v in ours.state_dict().items()}
    generator = torch.get_rng_state()
    assert ours.compute_output_shape(Coordinate(20, 30)) == (3, Coordinate(18, 28))
    after = ours.state_dict()
    assert all(torch.equal(before[k], after[k]) for k in before)
    assert torch.equal(torch.get_rng_state(), generator)
    assert ours.training is training
    assert ours.architecture.training is training
    assert not ours.prediction_head.training


def test_building_a_model_keeps_pretrained_weights() -> None:
    architecture, head = Valid(), nn.Conv2d(5, 3, 1)
    with torch.no_grad():
        architecture.layers[0].weight.fill_(0.25)
        head.weight.fill_(0.5)
    ours = Model(architecture, head)
    assert (ours.state_dict()["architecture.layers.0.weight"] == 0.25).all()
    assert (ours.state_dict()["prediction_head.weight"] == 0.5).all()


def test_the_shape_of_a_unet_needs_no_forward_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    unet = UNetConfig(input_shape=[28, 28, 28], downsample_factors=[[2, 2, 2]]).build()
    monkeypatch.setattr(type(unet), "forward", None)
    ours = Model(unet, nn.Conv3d(8, 7, 1))
    assert ours.compute_output_shape(Coordinate(32, 28, 28)) == (7, Coordinate(16, 12, 12))


def test_upsampling_beyond_the_input_refines_the_voxels() -> None:
    unet = UNetConfig(
        input_shape=[28, 28], downsample_factors=[[2, 2]], upsample_factors=[[1, 2]], num_fmaps=2
    ).build()
    ours = Model(unet, nn.Conv2d(2, 1, 1))
    assert ours.scale(Coordinate(8000, 8000)) == (8000, 4000)
    assert ours(torch.rand(1, 1, 28, 28)).shape[2:] == ours.output_shape
    with pytest.raises(ValueError, match="does not divide"):
        ours.scale(Coordinate(8000, 4001))
