from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from dacapo.errors import InputError
from dacapo.experiments.run import Run
from dacapo.experiments.run_config import RunConfig
from tests.conftest import SMALL, composed, small_run_config

PRETRAINED = [
    "task=pretrained",
    "task.sub_task.neighborhood=[[1,0,0],[0,1,0],[0,0,1],[4,0,0],[0,4,0],[0,0,4]]",
]


def pretrained(weights: Path, *more: str) -> Run:
    return Run(
        RunConfig.from_hydra(composed(*SMALL, *PRETRAINED, f"task.weights={weights}", *more))
    )


@pytest.mark.parametrize("how", ["checkpoint", "safetensors", "torch"])
def test_the_model_begins_with_the_weights_head_included(tmp_path: Path, how: str) -> None:
    trained = Run(small_run_config())
    for batch in trained.batches(0):
        trained.train_step(batch)
    path = tmp_path / ("weights.pt" if how == "torch" else "weights.safetensors")
    if how == "torch":
        torch.save(trained.model.state_dict(), path)
    elif how == "checkpoint":  # optimizer included
        save_file({k: v.contiguous() for k, v in trained.train_state.state().items()}, path)
    else:
        save_file({k: v.contiguous() for k, v in trained.model.state_dict().items()}, path)
    run = pretrained(path)
    assert run.task.criterion == "voi"
    for name, value in trained.model.state_dict().items():
        assert torch.equal(run.model.state_dict()[name], value), name
    losses = [run.train_step(batch).loss for batch in run.batches(0)]
    fresh = Run(small_run_config())
    assert losses != [fresh.train_step(batch).loss for batch in fresh.batches(0)]


def test_mistakes(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"task.weights=.*nope.pt: file not found"):
        pretrained(tmp_path / "nope.pt")
    path = tmp_path / "a.safetensors"
    path.write_bytes(b"rubbish")
    with pytest.raises(InputError, match=r"task.weights=.*cannot be read as weights"):
        pretrained(path)
    other = Run(small_run_config("architecture.num_fmaps=5"))
    save_file({k: v.contiguous() for k, v in other.model.state_dict().items()}, path)
    with pytest.raises(InputError, match=r"weights do not fit, the first is .*: \[4, .* there"):
        pretrained(path)
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(InputError, match="is not a dict of names and tensors"):
        pretrained(tmp_path / "list.pt")


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("code was run",)


def test_no_code_in_a_file_is_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"a": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(InputError, match="cannot be read as weights"):
        pretrained(tmp_path / "evil.pt")
    assert "code was run" not in capsys.readouterr().out


def test_a_sub_task_of_another_kind(tmp_path: Path) -> None:
    plain = Run(small_run_config())
    save_file(
        {k: v.contiguous() for k, v in plain.model.state_dict().items()}, tmp_path / "a.safetensors"
    )
    with pytest.raises(InputError, match=r"weights do not fit, the first is prediction_head"):
        Run(
            RunConfig.from_hydra(
                composed(
                    *SMALL, "task=pretrained", "task@task.sub_task=distance",
                    f"task.weights={tmp_path}/a.safetensors",
                )
            )
        )  # fmt: skip
