from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from dacapo.errors import InputError
from dacapo.experiments.run import Run
from dacapo.experiments.starts.start import Source
from dacapo.nn.weights import Weights
from dacapo.runs import RunFolder
from dacapo.train import train
from tests.conftest import small_run_config


def nobody(source: Source) -> Weights:
    raise AssertionError(f"{source} was read")


def test_a_file_and_frozen_layers(tmp_path: Path) -> None:
    trained = Run(small_run_config())
    trained.train_step(next(trained.batches(0)))
    path = tmp_path / "weights.safetensors"
    save_file({k: v.contiguous() for k, v in trained.model.state_dict().items()}, path)
    run = Run(
        small_run_config(
            "repetition=1", "start=checkpoint", f"start.path={path}",
            "start.freeze=[architecture.unet.down.*]", "trainer.ema_decay=0.5",
        )
    )  # fmt: skip
    run.begin(nobody)
    begun = {k: v.clone() for k, v in run.model.state_dict().items()}
    assert all(torch.equal(v, trained.model.state_dict()[k]) for k, v in begun.items())
    assert all(torch.equal(v, begun[k]) for k, v in run.train_state.ema_weights.items())
    run.train_step(next(run.batches(0)))
    for name, value in run.model.state_dict().items():
        is_frozen = name.startswith("architecture.unet.down.")
        assert torch.equal(value, begun[name]) == is_frozen, name
    state = run.train_state.state()
    other = Run(run.config)
    other.train_state.load_state({k: v.clone() for k, v in state.items()})
    assert all(torch.equal(v, other.train_state.state()[k]) for k, v in state.items())


@pytest.mark.parametrize(
    ("freeze", "message"),
    [
        (
            "[nothing.*]",
            r"start.freeze: 'nothing.\*' matches no weight; the names are architecture",
        ),
        ("['*']", "leaves no weight to train"),
    ],
)
def test_patterns_that_make_no_sense(freeze: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Run(small_run_config("start=run", "start.run=a/0", f"start.freeze={freeze}"))


def test_the_best_of_another_run_by_a_criterion(tmp_path: Path) -> None:
    scores = train(
        small_run_config(
            "name=a", "num_iterations=8", "validation_interval=2", "trainer.ema_decay=0.9",
            "trainer.keep_latest=9",
        ),
        tmp_path,
    )  # fmt: skip
    best = scores.best("voi_merge")
    assert best is not None
    folder = RunFolder(tmp_path / "b" / "0")
    weights = folder.read_weights_of(Source("a/0", criterion="voi_merge"))
    stored = RunFolder(tmp_path / "a" / "0").read_checkpoint(best.iteration)
    key = "prediction_head.weight"
    assert torch.equal(weights.tensors[key], stored[f"ema.{key}"])
    assert weights.channels[0] == "affinity 1,0,0"
    with pytest.raises(InputError, match=r"criterion=dice: choose from voi"):
        folder.read_weights_of(Source("a/0", criterion="dice"))
    with pytest.raises(InputError, match="give one"):
        small_run_config("start=run", "start.run=a/0", "start.iteration=2", "start.criterion=voi")


@pytest.mark.parametrize("run", ["../0", "a/..", "a/b", "/0", "a", "a/0/1", ".hydra/0", "a/../0"])
def test_a_start_stays_below_runs_dir(run: str) -> None:
    with pytest.raises(InputError, match=r"start.run=.*: give name/repetition below runs_dir"):
        small_run_config("start=run", f"start.run={run}")
