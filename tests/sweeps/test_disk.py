from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from dacapo.errors import InputError
from dacapo.processes.files import format_bytes
from dacapo.sweeps.disk import _build, _bytes, check_disk
from dacapo.train import train
from tests.conftest import small_run_config


def size(folder: Path) -> int:
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["trainer.ema_decay=0.9", "trainer.keep_every=1", "trainer.checkpoint_interval=1"],
        ["trainer.snapshot_interval=2"],
    ],
)
def test_a_run_takes_less_but_not_much_less(tmp_path: Path, options: list[str]) -> None:
    config = small_run_config("name=a", *options)
    train(config, tmp_path)
    taken = size(tmp_path / "a" / "0")
    estimate = _bytes(config, _build(config), 1)
    assert taken < estimate < 4 * taken + 2**22


def test_a_disk_that_is_too_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [(small_run_config("name=a"), 1)] * 3
    runs_dir = tmp_path / "not" / "there"
    assert check_disk(runs, runs_dir).startswith("the runs take up to ")
    needed = 3 * _bytes(runs[0][0], _build(runs[0][0]), 1)

    def usage(path: Any) -> Any:
        assert path == tmp_path
        return shutil._ntuple_diskusage(1, 1, needed - 1)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    with pytest.raises(InputError, match=r"no job was started: the runs take up to .*: free some"):
        check_disk(runs, runs_dir)


def test_sizes_for_people() -> None:
    assert [format_bytes(n) for n in (0, 1023, 1024, 2**40, 2**50)] == [
        "0 bytes", "1023 bytes", "1.0 KiB", "1.0 TiB", "1024.0 TiB"
    ]  # fmt: skip
