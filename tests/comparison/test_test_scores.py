"""Test volumes are scored by the final comparison, with what validation chose, and only there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from dacapo.comparison.tables import CompareOptions, compare
from dacapo.comparison.test_scores import read_final_scores, score_test_volumes
from dacapo.errors import InputError
from dacapo.experiments.datasplits import RegionConfig, VolumeConfig
from dacapo.experiments.run import Run
from dacapo.experiments.run_config import RunConfig
from dacapo.inference import scoring
from dacapo.inference.scoring import ground_truth, segment
from dacapo.ops.synthetic import tissue
from dacapo.runs import RunFolder
from dacapo.train import train
from tests.conftest import SMALL_AFFINITIES, composed, small_run_config, write_hdf5


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    made = tissue((48, 48, 120), (8, 8, 8), 10.0, 0.05, (0, 0))
    file = write_hdf5(
        tmp_path / "a.h5", {"raw": made.raw, "labels": made.cells}, voxel_size=[8, 8, 8], units="nm"
    )
    small = [o for o in SMALL_AFFINITIES if not o.startswith("datasplit.")]
    return RunConfig.from_hydra(
        composed(
            *small, "datasplit=regions", f"datasplit.raw={file}:raw", f"datasplit.gt={file}:labels",
            "datasplit.axis=x", "datasplit.buffer=80", "datasplit.train=0.4",
            "datasplit.validate=0.3", "datasplit.test=0.3", "name=a",
        )
    )  # fmt: skip


def test_scores_of_what_validation_chose(tmp_path: Path, config: RunConfig) -> None:
    runs_dir = tmp_path / "runs"
    scores = train(config, runs_dir)
    assert compare(runs_dir) == []
    with xr.open_dataset(runs_dir / "comparison.nc", engine="h5netcdf") as dataset:
        assert not any(str(v).startswith("test_") for v in dataset.variables)
    assert compare(runs_dir, CompareOptions(test=True)) == []

    best = scores.best("voi")
    assert best is not None
    run = Run(config)
    run.train_state.load_state(RunFolder(runs_dir / "a" / "0").read_checkpoint(best.iteration))
    test_scores = run.datasplit.test[0]
    expected = run.task.evaluator.against(ground_truth(test_scores))(
        segment(run, test_scores, best.parameters)
    )
    compare(runs_dir)  # what was computed stays
    with xr.open_dataset(runs_dir / "comparison.nc", engine="h5netcdf") as dataset:
        found = dataset.test_voi.sel(runs="a/0", test_datasets="test").item()
        assert found == pytest.approx(expected.voi)
        assert dataset.test_voi.attrs["higher_is_better"] == 0


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the volumes that are scored."""
    names: list[str] = []
    original = scoring.score_test

    def spy(model: Any, dataset: Any) -> dict[str, float]:
        names.append(dataset.name)
        return original(model, dataset)

    monkeypatch.setattr(scoring, "score_test", spy)
    return names


def test_each_opening_is_on_record_and_nothing_is_scored_twice(
    tmp_path: Path, config: RunConfig, opened: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    runs_dir = tmp_path / "runs"
    train(config, runs_dir)
    folder = RunFolder(runs_dir / "a" / "0")
    compare(runs_dir, CompareOptions(test=True, reason="paper"))
    compare(runs_dir, CompareOptions(test=True, reason="again"))
    assert opened == ["test"]
    (opening,) = read_final_scores(folder).openings
    assert (opening.reason, opening.volumes) == ("paper", ["test"])
    capsys.readouterr()
    compare(runs_dir)
    assert "Opened 1 times for 1 run" in capsys.readouterr().out
    train(replace(config, num_iterations=12), runs_dir)
    compare(runs_dir, CompareOptions(test=True))
    best = folder.read_history().best()
    latest = read_final_scores(folder).latest()["test"]
    assert best is not None
    assert latest.iteration == best.iteration


def volumes_of(tmp_path: Path) -> dict[str, Any]:
    """Three volumes, without overlap, in files of their own."""
    found = {}
    for seed in range(3):
        made = tissue((32, 32, 40), (8, 8, 8), 10.0, 0.05, (seed, 0))
        file = write_hdf5(
            tmp_path / f"{seed}.h5", {"raw": made.raw, "labels": made.cells},
            voxel_size=[8, 8, 8], units="nm",
        )  # fmt: skip
        found["abc"[seed]] = VolumeConfig(raw=f"{file}:raw", gt=f"{file}:labels")
    return found


def of_files(volumes: dict[str, Any], **parts: list[str]) -> RunConfig:
    small = [o for o in SMALL_AFFINITIES if not o.startswith("datasplit.")]
    given = []
    for part, names in parts.items():
        inner = ", ".join(f"{n}: {{raw: '{volumes[n].raw}', gt: '{volumes[n].gt}'}}" for n in names)
        given.append(f"datasplit.{part}={{{inner}}}")
    return RunConfig.from_hydra(composed(*small, "datasplit=volumes", *given))


def test_a_test_volume_is_no_part_of_what_a_run_is(
    tmp_path: Path, opened: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    volumes, runs_dir = volumes_of(tmp_path), tmp_path / "runs"
    plain = of_files(volumes, train=["a"], validate=["b"])
    with_test = of_files(volumes, train=["a"], validate=["b"], test=["c"])
    assert plain.name == with_test.name
    train(plain, runs_dir)
    capsys.readouterr()
    train(with_test, runs_dir)
    assert "is finished" in capsys.readouterr().out
    (tmp_path / "0.h5").rename(tmp_path / "gone.h5")  # the training data need not be there
    later = CompareOptions(test=True, volumes={"c": volumes["c"]})
    compare(runs_dir, later)
    assert opened == ["c"]
    run = RunFolder(runs_dir / plain.name / "0")
    assert list(read_final_scores(run).latest()) == ["c"]
    assert "cannot be checked" in capsys.readouterr().err


def test_a_volume_that_was_trained_on_is_no_test(
    tmp_path: Path, opened: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    volumes, runs_dir = volumes_of(tmp_path), tmp_path / "runs"
    train(of_files(volumes, train=["a"], validate=["b"]), runs_dir)
    with pytest.raises(InputError, match="test=true: no run below"):
        compare(runs_dir, CompareOptions(test=True, volumes={"t": volumes["a"]}))
    assert "share labels" in capsys.readouterr().err
    assert opened == []


def test_a_damaged_file_is_named_and_left(
    tmp_path: Path, config: RunConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    runs_dir = tmp_path / "runs"
    train(config, runs_dir)
    file = runs_dir / "a" / "0" / "test.json"
    file.write_text("{")
    assert compare(runs_dir) == []
    assert "a/0: its test scores are left out: cannot read" in capsys.readouterr().err
    assert file.read_text() == "{"


def test_training_reads_no_test_label(
    tmp_path: Path, config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dacapo.experiments.datasplits.datasets import Dataset

    read: list[str] = []
    original = Dataset.read_gt

    def spy(self: Dataset, roi: Any) -> np.ndarray[Any, Any]:
        read.append(self.name)
        return original(self, roi)

    monkeypatch.setattr(Dataset, "read_gt", spy)
    train(config, tmp_path / "runs")
    assert set(read) == {"train", "validate"}


def test_no_test_volume(tmp_path: Path) -> None:
    train(small_run_config("name=b"), tmp_path)
    with pytest.raises(InputError, match=r"test=true: no run below .* volumes in datasplit.test"):
        compare(tmp_path, CompareOptions(test=True))


def masked(tmp_path: Path) -> dict[str, Any]:
    """One volume under two names, with two masks."""
    made = tissue((32, 32, 40), (8, 8, 8), 10.0, 0.05, (7, 0))
    first = np.zeros(made.cells.shape, np.uint8)
    first[:20] = 1
    nothing = np.zeros_like(first)
    arrays = {"raw": made.raw, "labels": made.cells, "m1": first, "m2": 1 - first, "m3": nothing}
    file = write_hdf5(tmp_path / "m.h5", arrays, voxel_size=[8, 8, 8], units="nm")
    return {
        name: VolumeConfig(raw=f"{file}:raw", gt=f"{file}:labels", mask=f"{file}:m{number}")
        for number, name in enumerate("cde", start=1)
    }


def test_volumes_that_differ_in_their_mask_only_are_both_kept(
    tmp_path: Path, opened: list[str]
) -> None:
    volumes, runs_dir = {**volumes_of(tmp_path), **masked(tmp_path)}, tmp_path / "runs"
    config = of_files(volumes, train=["a"], validate=["b"])
    train(config, runs_dir)
    test = CompareOptions(test=True, volumes={name: volumes[name] for name in "cd"})
    compare(runs_dir, test)
    compare(runs_dir, test)
    assert opened == ["c", "d"]
    found = read_final_scores(RunFolder(runs_dir / config.name / "0")).latest()
    assert set(found) == {"c", "d"}
    assert found["c"].scores != found["d"].scores


def test_what_is_scored_before_a_volume_that_cannot_be_is_kept(
    tmp_path: Path, opened: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    volumes, runs_dir = {**volumes_of(tmp_path), **masked(tmp_path)}, tmp_path / "runs"
    config = of_files(volumes, train=["a"], validate=["b"])
    train(config, runs_dir)
    test = CompareOptions(test=True, volumes={name: volumes[name] for name in "ce"})
    compare(runs_dir, test)
    assert "e is not scored: dataset e: no voxel is annotated" in capsys.readouterr().err
    compare(runs_dir, test)
    assert opened == ["c", "e", "e"]
    assert set(read_final_scores(RunFolder(runs_dir / config.name / "0")).latest()) == {"c"}


def test_voxels_that_have_changed_are_scored_again(tmp_path: Path, opened: list[str]) -> None:
    import h5py

    volumes, runs_dir = volumes_of(tmp_path), tmp_path / "runs"
    train(of_files(volumes, train=["a"], validate=["b"]), runs_dir)
    test = CompareOptions(test=True, volumes={"c": volumes["c"]})
    compare(runs_dir, test)
    with h5py.File(tmp_path / "2.h5", "r+") as file:
        file["labels"][:8] = 0
    compare(runs_dir, test)
    compare(runs_dir, test)
    assert opened == ["c", "c"]


def test_two_processes_do_not_lose_each_others_scores(
    tmp_path: Path, config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second is told; a kill after the first volume keeps what was scored."""
    runs_dir = tmp_path / "runs"
    train(config, runs_dir)
    folder = RunFolder(runs_dir / "a" / "0")
    real = scoring.score_test

    def second(model: object, dataset: object) -> dict[str, float]:
        with pytest.raises(InputError, match="another process is scoring its test volumes"):
            score_test_volumes(folder, {}, "second")
        return real(model, dataset)  # type: ignore[arg-type]

    monkeypatch.setattr(scoring, "score_test", second)
    assert len(score_test_volumes(folder, {}, "first").scores) == 1
    assert [o.reason for o in read_final_scores(folder).openings] == ["first"]


def test_a_kill_between_two_volumes_keeps_the_first(
    tmp_path: Path, config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs_dir = tmp_path / "runs"
    train(config, runs_dir)
    folder = RunFolder(runs_dir / "a" / "0")
    real, seen = scoring.score_test, []
    region = {"region": RegionConfig(x=[0, 400])}
    volumes = {name: VolumeConfig(**region) for name in ("one", "two")}

    def killed(model: object, dataset: object) -> dict[str, float]:
        seen.append(dataset)
        if len(seen) == 2:
            raise KeyboardInterrupt
        return real(model, dataset)  # type: ignore[arg-type]

    monkeypatch.setattr(scoring, "score_test", killed)
    monkeypatch.setattr("dacapo.comparison.test_scores._check_apart", lambda config, test: None)
    with pytest.raises(KeyboardInterrupt):
        score_test_volumes(folder, volumes, "")
    assert [score.volume for score in read_final_scores(folder).scores] == ["one"]
    score_test_volumes(folder, volumes, "")
    assert len(seen) == 3  # the first one is not scored again
    assert [score.volume for score in read_final_scores(folder).scores] == ["one", "two"]
