from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

from dacapo.compare import main
from dacapo.comparison.collect import collect, read_runs, write_dataset
from dacapo.comparison.tables import compare
from dacapo.errors import InputError
from dacapo.experiments.run_config import RunConfig
from dacapo.experiments.validation_scores import ValidationScores
from dacapo.train import RunRequest, train
from tests.conftest import SMALL_AFFINITIES, composed, small_run_config


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
    losses = [s.loss for s in records["one/0"].history.training_stats.iteration_stats]
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
    assert record.status == "killed"
    assert collect([record]).sizes["runs"] == 1
    assert compare(tmp_path) == ["new/0"]
    assert "killed: new/0: ended without reporting" in capsys.readouterr().out


def test_the_output_must_have_a_known_suffix(runs: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"must end in \.nc or \.zarr"):
        compare(runs[0], tmp_path / "all.csv")
