from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

from dacapo.compare import main
from dacapo.comparison.collect import collect, to_dims, write_dataset
from dacapo.comparison.records import read_records
from dacapo.comparison.run_record import RunRecord
from dacapo.comparison.tables import CompareOptions, compare
from dacapo.errors import InputError
from dacapo.experiments import TrainingIterationStats, ValidationIterationScores
from dacapo.experiments.run_config import RunConfig
from dacapo.experiments.score_table import ScoreHeader
from dacapo.experiments.validation_scores import ValidationScores
from dacapo.runs import RunFolder
from dacapo.train import RunRequest, train
from tests.conftest import SMALL_AFFINITIES, composed, run_document, small_run_config


def read_runs(runs_dir: Path) -> list[RunRecord]:
    records, unreadable = read_records(runs_dir)
    assert unreadable == []
    return records


def trained(runs_dir: Path, *overrides: str) -> ValidationScores:
    config = RunConfig.from_hydra(composed(*SMALL_AFFINITIES, *overrides))
    return train(config, runs_dir, RunRequest({"task": "affinities"}, [*overrides]))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, ValidationScores]]:
    """Two tasks with other parameters and validation intervals, and a run that failed."""
    runs_dir = tmp_path_factory.mktemp("runs")
    scores = {
        "one/0": trained(runs_dir, "name=one"),
        "one/1": trained(runs_dir, "name=one", "repetition=1"),
        "two/0": trained(
            runs_dir, "name=two", "validation_interval=3", "task.post_processor.bias=[0.5,0.9]",
            "task.post_processor.min_size=[0,5]", "trainer.learning_rate=0.01", "datasplit.seed=3",
            "trainer/augments=[mirror]",
        ),
    }  # fmt: skip
    with pytest.raises(InputError):
        trained(runs_dir, "name=broken", "trainer.learning_rate=1e30")
    return runs_dir, scores


def cells_equal(dataset: xr.Dataset, scores: dict[str, ValidationScores]) -> int:
    """Every cell of each run by its names; the number of cells compared."""
    count = 0
    for run, own in scores.items():
        array = own.to_xarray()
        for criterion in own.criteria:
            for place in np.ndindex(array.shape[:3]):
                cell = array.sel(criteria=criterion)[place]
                labels = {d: cell[d].item() for d in ("iterations", "datasets", "parameters")}
                collected = dataset[criterion].sel(runs=run, **labels).item()
                assert collected == cell.item() or math.isnan(cell.item())
                count += 1
        ours = set(zip(*np.nonzero(dataset.voi.sel(runs=run).notnull().values), strict=True))
        assert len(ours) <= array.sel(criteria="voi").size  # nothing that the run has not
    return count


@pytest.mark.parametrize("suffix", ["nc", "zarr"])
def test_named_cells_survive_the_disk(runs: Any, tmp_path: Path, suffix: str) -> None:
    runs_dir, scores = runs
    dataset = collect(read_runs(runs_dir))
    assert cells_equal(dataset, scores) == 16 * 18
    path = write_dataset(dataset, tmp_path / f"all.{suffix}")
    opened = xr.open_zarr(path) if suffix == "zarr" else xr.open_dataset(path, engine="h5netcdf")
    back = opened.load()
    opened.close()
    assert cells_equal(back, scores) == 16 * 18
    xr.testing.assert_equal(dataset, back)
    assert back.voi.attrs == dataset.voi.attrs
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_coordinates_and_attributes(runs: Any) -> None:
    dataset = collect(read_runs(runs[0]))
    assert dataset.voi.dims == ("runs", "iterations", "datasets", "parameters")
    assert dataset["runs"].values.tolist() == ["broken/0", "one/0", "one/1", "two/0"]
    assert dataset["iterations"].values.tolist() == [3, 4, 6]
    assert dataset["status"].values.tolist() == ["failed", "done", "done", "done"]
    assert "non-finite loss in iteration" in str(dataset["error"].values[0])
    assert dataset["repetition"].values.tolist() == [0, 0, 1, 0]
    assert set(dataset["task"].values) == {"affinities"}
    assert dataset["trainer.learning_rate"].values.tolist() == ["1e30", "", "", "0.01"]
    assert dataset["trainer.augments"].values.tolist() == ["", "", "", "[mirror]"]
    assert set(dataset["start"].values) == {""}
    assert dataset["bias"].dims == ("parameters",)
    assert np.isnan(dataset["num_parameters"].values[0])
    assert (dataset["num_parameters"].values[1:] > 1000).all()
    assert (dataset["seconds_per_iteration"].values[1:] > 0).all()
    assert (dataset["peak_memory_mib"].values[1:] > 100).all()
    used_gpu = ~np.isnan(dataset["peak_device_memory_mib"].values[1:])
    assert used_gpu.tolist() == [torch.cuda.is_available()] * 3
    assert dataset.voi.attrs["higher_is_better"] == 0
    assert dataset.voi.attrs["lower"] == 0
    assert "upper" not in dataset.voi.attrs
    assert dataset.adapted_rand_error.attrs["upper"] == 1


def test_loss_is_the_mean_since_the_last_validation(runs: Any) -> None:
    records = {r.label: r for r in read_runs(runs[0])}
    dataset = collect(list(records.values()))
    losses = records["one/0"].folder.read_history().steps[:, 0]
    ours = dataset.loss.sel(runs="one/0")
    assert ours.sel(iterations=4).item() == pytest.approx(np.mean(losses[:4]))
    assert ours.sel(iterations=6).item() == pytest.approx(np.mean(losses[4:]))
    assert np.isnan(ours.sel(iterations=3).item())


def test_the_command(runs: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    runs_dir, _ = runs
    monkeypatch.setattr("sys.argv", ["compare", f"runs_dir={runs_dir}"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1  # one has failed
    out = capsys.readouterr().out
    assert "4 runs, 1 failed" in out
    assert "failed: broken/0" in out
    assert (runs_dir / "comparison.nc").is_file()


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"runs_dir=.*: the folder holds no runs"):
        compare(tmp_path)


def test_a_run_that_was_killed_at_once(tmp_path: Path, capsys: Any) -> None:
    """Folder and config, no log yet."""
    config = small_run_config("name=new")
    train(config, tmp_path)
    for log in (tmp_path / "new" / "0").glob("log-*"):
        log.unlink()
    (record,) = read_runs(tmp_path)
    assert record.state().name == "killed"
    assert collect([record]).sizes["runs"] == 1
    assert compare(tmp_path) == ["new/0"]
    assert "killed: new/0: ended without reporting" in capsys.readouterr().out


def test_the_output_must_have_a_known_suffix(runs: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"must end in \.nc or \.zarr"):
        compare(runs[0], CompareOptions(tmp_path / "all.csv"))


def test_the_long_layout_holds_the_same_cells(
    runs: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs_dir, scores = runs
    records = read_runs(runs_dir)
    dims = collect(records)
    monkeypatch.setattr("dacapo.comparison.collect._SMALL", 0)
    monkeypatch.setattr("dacapo.comparison.collect._MAX_SPREAD", 1)
    long = collect(records)
    assert (dims.attrs["layout"], long.attrs["layout"]) == ("dims", "long")
    assert long.voi.dims == ("score",)
    assert long.sizes["score"] == 16 * 18 // len(scores["one/0"].criteria)
    for suffix in ("nc", "zarr"):
        path = write_dataset(long, tmp_path / f"long.{suffix}")
        with xr.open_dataset(path, engine="zarr" if suffix == "zarr" else "h5netcdf") as back:
            xr.testing.assert_identical(to_dims(back.load()).drop_attrs(), dims.drop_attrs())
    assert to_dims(dims) is dims
    part = to_dims(long.isel(runs=[3, 1]))
    assert part["runs"].values.tolist() == ["two/0", "one/0"]
    assert cells_equal(part, {k: scores[k] for k in ("two/0", "one/0")})
    # One score by hand: its labels lead to it.
    at = 5
    label = {d: long[d].values[long[c].values[at]] for c, d in (("run", "runs"),
             ("dataset", "datasets"), ("parameter", "parameters"))}  # fmt: skip
    place = {**label, "iterations": long["iteration"].values[at]}
    assert dims.voi.sel(place).item() == long.voi.values[at]


def test_runs_that_share_nothing_need_no_more_than_their_scores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(12):
        header = ScoreHeader(
            [f"volume{number}"],
            [{"label": f"bias={number}", "bias": float(number)}],
            [{"name": "voi", "higher_is_better": 0}],
            "voi",
        )
        folder = RunFolder(tmp_path / f"n{number}" / "0")
        with folder.writing(run_document(f"n{number}")) as writer:
            writer.begin(0, header)
            for step in range(3 + number):
                writer.add_step(TrainingIterationStats(step, 1.0, 0.1))
            writer.add_scores(ValidationIterationScores(3 + number, [[[float(number)]]]))
            writer.finish("done")
    monkeypatch.setattr("dacapo.comparison.collect._SMALL", 1000)  # 12**4 cells against 12
    dataset = collect(read_runs(tmp_path))
    assert dataset.attrs["layout"] == "long"
    assert dataset.voi.values.tolist() == list(range(12)) or dataset.sizes["score"] == 12
    full = to_dims(dataset)
    assert full.voi.shape == (12, 12, 12, 12)
    assert int(full.voi.notnull().sum()) == 12
    assert int(full.loss.notnull().sum()) == 12


@pytest.mark.parametrize("suffix", ["nc", "zarr"])
def test_only_a_comparison_is_replaced(runs: Any, tmp_path: Path, suffix: str, capsys: Any) -> None:
    runs_dir, _ = runs
    path = tmp_path / f"vol.{suffix}"
    volume = xr.Dataset({"raw": ("x", np.arange(3))})
    volume.to_zarr(path) if suffix == "zarr" else volume.to_netcdf(path, engine="h5netcdf")
    with pytest.raises(InputError, match=r"output=.*vol.* is not a comparison .*: choose another"):
        compare(runs_dir, CompareOptions(path))
    assert "one/0" in capsys.readouterr().out  # the tables come first
    with xr.open_dataset(path, engine="zarr" if suffix == "zarr" else "h5netcdf") as kept:
        assert kept.raw.values.tolist() == [0, 1, 2]
    other = tmp_path / f"all.{suffix}"
    compare(runs_dir, CompareOptions(other))
    compare(runs_dir, CompareOptions(other))
    assert {p.name for p in tmp_path.iterdir()} == {path.name, other.name}


def test_a_file_of_another_kind_is_not_replaced(runs: Any, tmp_path: Path) -> None:
    (tmp_path / "thesis.nc").write_text("precious")
    with pytest.raises(InputError, match="is not a comparison"):
        compare(runs[0], CompareOptions(tmp_path / "thesis.nc"))
    assert (tmp_path / "thesis.nc").read_text() == "precious"
