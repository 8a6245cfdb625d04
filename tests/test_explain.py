"""`python -m dacapo.explain` and `dacapo.verify`: how a run was made, and whether it repeats."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from dacapo.comparison.tables import compare
from dacapo.errors import InputError
from dacapo.explain import ExplainConfig, explain_command
from dacapo.explain import main as explain_main
from dacapo.predict import PredictConfig, predict_command
from dacapo.processes.code import code_changes, code_state
from dacapo.runs import RunFolder
from dacapo.train import train
from dacapo.verify import VerifyConfig, verify_command
from tests.conftest import small_task_config, write_hdf5


@pytest.fixture(scope="module")
def runs_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    train(small_task_config("affinities", "name=a"), folder)
    return folder


@pytest.fixture
def explained(capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, object]]:
    def ask(path: object, runs_dir: Path) -> dict[str, object]:
        capsys.readouterr()
        explain_command(ExplainConfig(path=str(path), runs_dir=str(runs_dir), json=True))
        found: dict[str, object] = json.loads(capsys.readouterr().out)
        return found

    return ask


def test_a_run(runs_dir: Path, explained: Callable[..., dict[str, object]]) -> None:
    for path in ("a/0", runs_dir / "a" / "0"):
        found = explained(path, runs_dir)
        assert found["run"] == str(runs_dir / "a" / "0")
        assert found["state"] == "done"
        assert found["seed"] == 0
        assert found["config"] == str(runs_dir / "a" / "0" / "config.yaml")
        assert str(found["code"]).startswith(code_state()["version"])
        assert found["machine"]["device"] == "cpu"  # type: ignore[index]
        (scored,) = found["scored"]  # type: ignore[misc]
        assert scored["task"]["ignore_smaller"] == 0
        assert scored["iterations"] == [4, 6]


def test_a_checkpoint(runs_dir: Path, explained: Callable[..., dict[str, object]]) -> None:
    path = RunFolder(runs_dir / "a" / "0").checkpoint(6)
    found = explained(path, runs_dir)
    assert found["iteration"] == 6
    assert str(found["scores"]).startswith("voi ")
    assert found["made by"]["run"] == str(runs_dir / "a" / "0")  # type: ignore[index]


def test_a_dataset(
    runs_dir: Path, tmp_path: Path, explained: Callable[..., dict[str, object]]
) -> None:
    compare(runs_dir)
    found = explained(runs_dir / "comparison.nc", runs_dir)
    (run,) = found["runs"].values()  # type: ignore[attr-defined]
    assert run["status"] == "done"
    assert run["code"].startswith(code_state()["version"])
    assert len(run["data"]) == 8


def test_a_prediction(
    runs_dir: Path, tmp_path: Path, explained: Callable[..., dict[str, object]]
) -> None:
    raw = np.random.default_rng(0).integers(0, 255, (20, 20, 20), np.uint8)
    file = write_hdf5(tmp_path / "a.h5", {"raw": raw}, voxel_size=[8, 8, 8], units="nm")
    output = tmp_path / "p.ome.zarr"
    predict_command(
        PredictConfig(
            run=["a/0"], runs_dir=str(runs_dir), input=f"{file}:raw", output=str(output),
            device="cpu",
        )
    )  # fmt: skip
    found = explained(output, runs_dir)
    assert found["models"][0]["run"] == "a/0"  # type: ignore[index]


def test_what_cannot_be_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "a.nc").write_text("a")
    (tmp_path / "a" / "0" / "checkpoints").mkdir(parents=True)
    (tmp_path / "a" / "0" / "checkpoints" / "foo.safetensors").write_text("a")
    for path, message in (
        ("a.txt", "is not a run, a checkpoint"),
        ("a.nc", "is not a run, a checkpoint"),
        ("b.txt", "there is no such file or folder"),
        ("a", "name one of its repetitions, like a/0"),
        ("a/0/checkpoints/foo.safetensors", "is not a checkpoint of the run"),
    ):
        monkeypatch.setattr(sys, "argv", ["explain", f"path={tmp_path / path}"])
        with pytest.raises(SystemExit) as ended:
            explain_main()
        assert ended.value.code == 1
        assert message in capsys.readouterr().err


def test_yaml_that_people_read(runs_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    explain_command(ExplainConfig(path="a/0", runs_dir=str(runs_dir)))
    found = yaml.safe_load(capsys.readouterr().out)
    assert found["run"] == str(runs_dir / "a" / "0")
    assert "scored otherwise" not in found  # what is empty is left out


def test_changes_of_the_code_lie_beside_the_run(runs_dir: Path) -> None:
    changes = code_changes()
    files = [path.read_bytes() for path in (runs_dir / "a" / "0").glob("code-*.diff")]
    assert files == ([changes] if changes else [])


def test_a_run_repeats(runs_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {p: p.stat().st_mtime_ns for p in (runs_dir / "a" / "0").rglob("*")}
    assert verify_command(VerifyConfig(run="a/0", runs_dir=str(runs_dir))) == 0
    out = capsys.readouterr().out
    assert "losses of 4 steps: same: equal to the bit" in out
    assert "scores of iteration 6: same: equal to the bit" in out
    assert "data: same: 2 volumes" in out
    assert before == {p: p.stat().st_mtime_ns for p in (runs_dir / "a" / "0").rglob("*")}


def test_a_run_that_does_not_repeat(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train(small_task_config("affinities", "name=a"), tmp_path)
    folder = RunFolder(tmp_path / "a" / "0")
    document = folder.read_document()
    document["config"]["trainer_config"]["learning_rate"] *= 2
    document["data"]["digests"]["train"] = {"synthetic_train": "0"}
    with folder.writing(document):
        pass
    assert verify_command(VerifyConfig(run="a/0", runs_dir=str(tmp_path))) == 1
    out = capsys.readouterr().out
    assert "losses of 4 steps: DIFFERENT: differ by " in out
    assert "data: DIFFERENT: other voxels than then: train/synthetic_train" in out
    assert "scores of iteration 6: same" in out


def test_a_run_that_trains_is_not_verified(tmp_path: Path) -> None:
    train(small_task_config("affinities", "name=a"), tmp_path)
    folder = RunFolder(tmp_path / "a" / "0")
    with (
        folder.writing(folder.read_document()),
        pytest.raises(InputError, match="verify it when it has ended"),
    ):
        verify_command(VerifyConfig(run="a/0", runs_dir=str(tmp_path)))
