"""Curves in other programs, snapshots, and what opens them."""

from __future__ import annotations

import sqlite3
import struct
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dacapo.arrays import open_array
from dacapo.errors import InputError
from dacapo.experiments.run import Run
from dacapo.figures.neuroglancer import show, snapshot_layers
from dacapo.runs import RunFolder
from dacapo.train import train
from tests.conftest import small_run_config


def interrupted_and_finished(runs_dir: Path, monkeypatch: pytest.MonkeyPatch, *more: str) -> Path:
    """A run of two processes; its folder."""
    real = Run.start_step

    def step(run: Run, batch: Any) -> Any:
        if batch.iteration == 5:
            raise RuntimeError("killed")
        return real(run, batch)

    monkeypatch.setattr(Run, "start_step", step)
    with pytest.raises(RuntimeError, match="killed"):
        train(small_run_config("name=a", *more), runs_dir)
    monkeypatch.undo()
    train(small_run_config("name=a", *more), runs_dir)
    return runs_dir / "a" / "0"


def losses(folder: Path) -> list[float]:
    return [s.loss for s in RunFolder(folder).read_history().training_stats.iteration_stats]


def test_tensorboard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboard", reason="needs tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = interrupted_and_finished(tmp_path, monkeypatch, "trainer.loggers=[tensorboard]")
    events = EventAccumulator(str(folder / "tensorboard")).Reload()
    told = events.Scalars("training/loss")
    dataset = Run(small_run_config()).datasplit.validate[0].name
    assert [e.step for e in told] == list(range(1, 7))
    np.testing.assert_allclose([e.value for e in told], losses(folder), rtol=1e-6)
    assert [e.step for e in events.Scalars(f"validation/{dataset}/voi")] == [4, 6]


def test_mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow", reason="needs mlflow")
    folder = interrupted_and_finished(tmp_path, monkeypatch, "trainer.loggers=[mlflow]")
    with sqlite3.connect(tmp_path / "mlflow.db") as file:
        assert file.execute("select name, status from runs").fetchall() == [("a/0", "FINISHED")]
        told = dict(
            file.execute(
                "select step, value from metrics where key = 'training/loss' order by step"
            )
        )
        named = dict(file.execute("select key, value from params"))
    np.testing.assert_allclose([told[i] for i in range(1, 7)], losses(folder))
    assert named["repetition"] == "0"


def test_wandb_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb", reason="needs wandb")
    train(small_run_config("name=a", "num_iterations=2", "trainer.loggers=[wandb]"), tmp_path)
    (written,) = (tmp_path / "a" / "0" / "wandb").glob("offline-run-*/*.wandb")
    logged = _wandb_history(written)
    np.testing.assert_allclose(
        [logged["training/loss"][i] for i in (1, 2)], losses(tmp_path / "a" / "0")
    )
    assert set(logged["validation/synthetic_validate/voi"]) == {2}


def _wandb_history(path: Path) -> dict[str, dict[int, float]]:
    """Name -> iteration -> number."""
    from wandb.proto.wandb_internal_pb2 import Record

    found: dict[str, dict[int, float]] = {}
    for data in _wandb_records(path.read_bytes()):
        record = Record()
        record.ParseFromString(data)
        items = {(i.key or ".".join(i.nested_key)): i.value_json for i in record.history.item}
        for name, value in items.items():
            if not name.startswith("_"):
                found.setdefault(name, {})[int(items["iteration"])] = float(value)
    return found


def _wandb_records(data: bytes) -> Iterator[bytes]:
    """The file is a log of LevelDB: chunks in blocks of 32 KiB, after a header of 7 bytes."""
    at, record = 7, b""
    while at + 7 <= len(data):
        if (left := -at % 2**15) and left < 7:  # a header does not cross blocks
            at += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, at)
        record += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # a whole record, or the last chunk of one
            yield record
            record = b""


def test_a_program_that_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "wandb", None)
    with pytest.raises(
        InputError, match=r"loggers=wandb: not installed; pip install 'dacapo\[wandb"
    ):
        train(small_run_config("name=a", "trainer.loggers=[wandb]"), tmp_path)


def test_snapshots_lie_over_each_other_and_open(tmp_path: Path) -> None:
    pytest.importorskip("neuroglancer", reason="needs neuroglancer")
    run_config = small_run_config("name=a", "trainer.snapshot_interval=3")
    train(run_config, tmp_path)
    folder = RunFolder(tmp_path / "a" / "0")
    found = sorted(p.name for p in (folder.path / "snapshots").iterdir())
    assert found == ["00000003", "00000006"]
    batch = list(Run(run_config).batches(0))[5]
    raw = open_array(str(folder.snapshot(6) / "raw.ome.zarr"))
    target = open_array(str(folder.snapshot(6) / "target.ome.zarr"))
    assert raw.roi.contains(target.roi)
    assert raw.roi.center == target.roi.center
    np.testing.assert_array_equal(target.read(target.roi), batch.target[0].numpy())
    np.testing.assert_array_equal(raw.read(raw.roi), batch.raw[0].numpy())
    prediction = open_array(str(folder.snapshot(6) / "prediction.ome.zarr"))
    assert prediction.source.shape == target.source.shape
    assert prediction.read(prediction.roi).min() >= 0

    layers = snapshot_layers(folder, None)
    assert [layer.name for layer in layers] == ["raw", "target", "weight", "prediction"]
    with show(layers, "127.0.0.1", 0) as url, urllib.request.urlopen(url, timeout=30) as page:
        assert page.status == 200
    with pytest.raises(InputError, match=r"iteration=4: .* has snapshots of 3, 6"):
        snapshot_layers(folder, 4)


def test_a_run_without_snapshots(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no snapshot; trainer.snapshot_interval=100 keeps"):
        snapshot_layers(RunFolder(tmp_path), None)
