from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from dacapo.errors import InputError
from dacapo.nn.weights import Weights, fit, read_weights


class Net(nn.Module):
    """A body and a head of named channels."""

    def __init__(self, channels: int, width: int = 3) -> None:
        super().__init__()
        self.body = nn.Conv2d(1, width, 1)
        self.extra = nn.Conv2d(width, width, 1)
        self.prediction_head = nn.Conv2d(width, channels, 1)


def test_a_head_takes_the_rows_of_channels_that_are_known_there() -> None:
    theirs, ours = Net(3), Net(3)
    fresh = ours.prediction_head.weight.detach().clone()
    told = fit(ours, Weights(theirs.state_dict(), ["a", "b", "c"]), ["c", "new", "a"], "x")
    assert torch.equal(ours.body.weight, theirs.body.weight)
    head = ours.prediction_head
    assert torch.equal(head.weight[0], theirs.prediction_head.weight[2])
    assert torch.equal(head.weight[1], fresh[1])
    assert torch.equal(head.weight[2], theirs.prediction_head.weight[0])
    assert head.bias[0] == theirs.prediction_head.bias[2]
    assert told == "x: loaded 6 of 6 weights; channels of the head that stay newly initialised: new"


def test_a_head_of_unknown_channels_is_taken_where_it_fits() -> None:
    theirs, ours, other = Net(3), Net(3), Net(2)
    fit(ours, Weights(theirs.state_dict()), ["a", "b", "c"], "x")
    assert torch.equal(ours.prediction_head.weight, theirs.prediction_head.weight)
    told = fit(other, Weights(theirs.state_dict()), ["a", "b"], "x")
    assert "loaded 4 of 6 weights" in told
    assert "prediction_head.weight ([2, 3, 1, 1] here, [3, 3, 1, 1] there)" in told


def test_what_does_not_fit_is_listed_and_stays() -> None:
    ours = Net(1)
    fresh = ours.extra.weight.detach().clone()
    theirs = {k: v for k, v in Net(1).state_dict().items() if not k.startswith("extra")}
    told = fit(ours, Weights(theirs), [], "x")
    assert "extra.weight ([3, 3, 1, 1] here, nothing there)" in told
    assert torch.equal(ours.extra.weight, fresh)
    with pytest.raises(InputError, match=r"x: no weight fits this run's architecture: body"):
        fit(Net(1, width=4), Weights(theirs), [], "x")
    theirs["body.weight"] = torch.full_like(theirs["body.weight"], float("nan"))
    with pytest.raises(InputError, match=r"body.weight is not finite"):
        fit(ours, Weights(theirs), [], "x")


def test_a_checkpoint_gives_the_average_and_its_channels(tmp_path: Path) -> None:
    path = tmp_path / "00000004.safetensors"
    tensors = {
        "model.w": torch.zeros(1), "model.buffer": torch.ones(1), "ema.w": torch.ones(1),
        "optimizer.0.step": torch.ones(1),
    }  # fmt: skip
    save_file(tensors, path, {"channels": json.dumps(["a"])})
    weights = read_weights(path, "start.path")
    assert weights.channels == ["a"]
    assert weights.tensors.keys() == {"w", "buffer"}
    assert weights.tensors["w"] == 1


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod."])
def test_plain_state_dicts_with_what_wrappers_add(tmp_path: Path, prefix: str) -> None:
    torch.save({f"{prefix}{k}": v for k, v in Net(1).state_dict().items()}, tmp_path / "w.pt")
    assert (
        read_weights(tmp_path / "w.pt", "start.path").tensors.keys() == Net(1).state_dict().keys()
    )


def test_mistakes(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"start.path=.*none.pt: file not found"):
        read_weights(tmp_path / "none.pt", "start.path")
    torch.save(Net(1), tmp_path / "code.pt")  # a pickle that would run code
    with pytest.raises(InputError, match="cannot be read as weights"):
        read_weights(tmp_path / "code.pt", "start.path")
