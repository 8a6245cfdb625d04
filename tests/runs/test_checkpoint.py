from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dacapo.errors import InputError
from dacapo.experiments import ValidationIterationScores
from dacapo.runs.checkpoint import CheckpointError, read_checkpoint, write_checkpoint
from dacapo.runs.history import Past
from tests.conftest import HEADER

TENSORS = {
    "model.weight": torch.randn(3, 4),
    "optimizer.0.step": torch.tensor(7.0),
    "half": torch.randn(5).bfloat16(),
    "count": torch.tensor([2**62]),
    "empty": torch.zeros(0, 3),
    "last": torch.randn(2, 3, 4, 5, 6).to(memory_format=torch.channels_last_3d),
}


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write_checkpoint(path, TENSORS, {"iteration": "5"})
    tensors, notes, past = read_checkpoint(path)
    assert past is None
    assert notes == {"iteration": "5"}
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert torch.equal(tensors[name], tensor)
        assert tensors[name].dtype == tensor.dtype
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.99])
def test_cut_short(tmp_path: Path, share: float) -> None:
    path = tmp_path / "a.safetensors"
    write_checkpoint(path, TENSORS, {})
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(CheckpointError, match=r"a.safetensors"):
        read_checkpoint(path)


def test_a_flipped_bit(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write_checkpoint(path, TENSORS, {})
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="checksum"):
        read_checkpoint(path)


def test_a_disk_that_cannot_be_read_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file may be whole; a run that began anew would set it aside."""
    path = tmp_path / "a.safetensors"
    write_checkpoint(path, TENSORS, {})

    def unreadable(*_: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("dacapo.runs.checkpoint.safe_open", unreadable)
    with pytest.raises(InputError, match=r"cannot read .*a.safetensors: Input/output error"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    "past",
    [
        Past(np.zeros((5, 2))),
        Past(np.zeros(5)),
        Past(np.zeros((5, 3)), [ValidationIterationScores(5, [[[1.0, 2.0]]])], HEADER),
    ],
)
def test_a_history_of_another_shape(tmp_path: Path, past: Past) -> None:
    path = tmp_path / "a.safetensors"
    write_checkpoint(path, TENSORS, {}, past)
    with pytest.raises(CheckpointError, match=r"its (history has another shape|scores do not fit)"):
        read_checkpoint(path)


def test_a_full_disk_damages_nothing_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.safetensors"
    write_checkpoint(path, TENSORS, {"iteration": "5"})

    def full(_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(InputError, match=r"cannot write .*a.safetensors: No space left on device"):
        write_checkpoint(path, TENSORS, {"iteration": "6"})
    monkeypatch.undo()
    assert read_checkpoint(path)[1] == {"iteration": "5"}
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]
