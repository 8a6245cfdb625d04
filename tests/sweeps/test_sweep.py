"""Sweeps from the command line, in this process and in others."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from dacapo.runs import RunFolder, find_run_folders, read_state
from tests.command_line import command, environment, history, run
from tests.conftest import SMALL, SMALL_AFFINITIES, TASKS


def test_a_sweep_with_a_failure_ends_with_one_dataset(tmp_path: Path) -> None:
    status, out, err = run(
        tmp_path, "-m", *SMALL_AFFINITIES, "trainer.learning_rate=0.001,1e30", "repetition=0,1",
        "name='lr${trainer.learning_rate}'",
    )  # fmt: skip
    assert status == 1
    assert "4 runs, 2 failed" in out
    assert "non-finite loss in iteration" in err + out
    dataset = xr.load_dataset(tmp_path / "runs" / "comparison.nc", engine="h5netcdf")
    assert sorted(dataset["status"].values) == ["done", "done", "failed", "failed"]
    assert set(dataset["trainer.learning_rate"].values) == {"0.001", "1e+30"}
    done = dataset.sel(runs=dataset.status == "done")
    assert np.isfinite(done.voi.sel(iterations=6)).all()


def test_every_failure_of_a_sweep_is_told(tmp_path: Path) -> None:
    status, out, err = run(
        tmp_path,
        "-m",
        *SMALL_AFFINITIES,
        "trainer.batch_size=0,-1,1",
        "num_iterations=1",
        "repetition=0",
    )
    assert status == 1
    assert "error: job 0: trainer.batch_size=0 must be at least 1" in err
    assert "error: job 1: trainer.batch_size=-1 must be at least 1" in err
    assert "1 run, 0 failed" in out
    (tmp_path / "empty").mkdir()
    status, out, err = run(tmp_path / "empty", "-m", "trainer.batch_size=0", "repetition=0")
    assert status == 1
    assert "trainer.batch_size=0 must be at least 1" in err
    assert "the folder holds no runs" not in err


def test_two_commands_at_once_share_the_work(tmp_path: Path) -> None:
    """The same sweep twice, one job after the other in each: every run is trained once."""
    arguments = ("-m", *SMALL_AFFINITIES, "name=a", "repetition=range(4)", "num_iterations=12")
    other = subprocess.Popen(
        command(*arguments), cwd=tmp_path, env=environment(), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    status, out, err = run(tmp_path, *arguments)
    assert status == 0, out + err
    theirs, _ = other.communicate(timeout=200)
    assert other.returncode == 0, theirs
    for repetition in range(4):
        assert history(tmp_path / "runs", repetition=repetition).is_done
        assert RunFolder(tmp_path / "runs" / "a" / str(repetition)).num_writers() == 1
    passed_over = re.findall("is finished|is being trained by", out + theirs)
    assert len(passed_over) == 4  # by the command that did not train it


def test_hopeless_runs_of_a_sweep_are_stopped_and_go_on_without_halving(tmp_path: Path) -> None:
    arguments = (
        "-m", *SMALL, "task=distance", *TASKS["distance"], "num_iterations=18",
        "validation_interval=6", "repetition=0", "trainer.learning_rate=0.005,1e-8,1e-9",
        "name='lr${trainer.learning_rate}'",
    )  # fmt: skip
    halving = ("halving=asha", "halving.min_iterations=12", "halving.factor=2")
    status, out, err = run(tmp_path, *arguments, *halving)
    assert status == 0, err
    states = {f.label: read_state(f).name for f in find_run_folders(tmp_path / "runs")}
    stopped = [label for label, state in states.items() if state == "stopped"]
    assert stopped, states
    assert f"halving: {len(stopped)} runs stopped" in out
    assert "is stopped: at iteration" in out
    status, out, _ = run(tmp_path, *arguments, *halving)  # they are left as they are
    assert status == 0
    assert {f.label: read_state(f).name for f in find_run_folders(tmp_path / "runs")} == states
    status, out, _ = run(tmp_path, *arguments)
    assert status == 0
    assert all(read_state(f).name == "done" for f in find_run_folders(tmp_path / "runs"))


def test_a_search_survives_runs_that_fail(tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper", reason="needs dacapo[search]")
    status, out, err = run(
        tmp_path, "-m", "experiment=search", "hydra.sweeper.n_trials=5", *SMALL_AFFINITIES,
        "trainer.learning_rate=choice(1e30,0.001)",
    )  # fmt: skip
    assert status == 1, err  # one of both fails
    assert "2 runs, 1 failed" in out
    (found,) = tmp_path.glob("runs/.hydra-*/*/optimization_results.yaml")
    assert "trainer.learning_rate: 0.001" in found.read_text()


def test_tasks_beside_each_other(tmp_path: Path) -> None:
    """Different parameters and criteria join by name in one Dataset."""
    status, _, err = run(
        tmp_path, "-m", "task=affinities,distance,boundary,inner_distance", *SMALL,
        "repetition=0", "num_iterations=2", "validation_interval=2",
    )  # fmt: skip
    assert status == 0, err
    semantic = ["task=one_hot", "task.classes={membrane: [1], body: [2]}"]
    status, _, err = run(tmp_path, *SMALL, *semantic, "datasplit=synthetic_classes")
    assert status == 0, err
    compared = [sys.executable, "-m", "dacapo.compare", "runs_dir=runs"]
    status, _, err = run(tmp_path, program=compared)
    assert status == 0, err
    dataset = xr.load_dataset(tmp_path / "runs" / "comparison.nc", engine="h5netcdf")
    assert set(dataset.task.values) == {
        "affinities", "distance", "boundary", "inner_distance", "one_hot"
    }  # fmt: skip
    objects = dataset.sel(runs=dataset.task != "one_hot")
    assert objects.f1_50.max(["iterations", "datasets", "parameters"]).notnull().all()
    classes = dataset.sel(runs=dataset.task == "one_hot")
    assert classes.body__dice.notnull().any()
    assert classes.f1_50.isnull().all()
    assert dataset.f1_50.attrs["higher_is_better"] == 1
    assert dataset.hausdorff_95.attrs["units"] == "nm or pixel"
    assert "bias" in dataset.coords
    assert "seed_threshold" in dataset.coords


def test_the_literal_command_trains_five_repetitions(tmp_path: Path) -> None:
    status, out, err = run(
        tmp_path,
        "task=affinities",
        "architecture=unet",
        "-m",
        *SMALL_AFFINITIES,
        "num_iterations=2",
    )
    assert status == 0, err
    assert "5 runs, 0 failed" in out
    dataset = xr.load_dataset(tmp_path / "runs" / "comparison.nc", engine="h5netcdf")
    assert dataset["repetition"].values.tolist() == list(range(5))
    assert len(set(dataset["name"].values)) == 1
    # Hydra's own files lie apart from those of the runs.
    assert {p.name for p in (tmp_path / "runs").iterdir() if p.is_dir()} == {
        f".hydra-{os.environ.get('USER', 'user')}", str(dataset["name"].values[0])
    }  # fmt: skip


@pytest.mark.long
def test_a_sweep_in_processes_of_joblib(tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="needs dacapo[joblib]")
    status, out, err = run(
        tmp_path, "-m", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", *SMALL_AFFINITIES,
        "name=a", "repetition=0,1",
    )  # fmt: skip
    assert status == 0, out + err
    assert "2 runs, 0 failed" in out


@pytest.mark.long
def test_a_sweep_in_processes_of_submitit(tmp_path: Path) -> None:
    """The jobs are pickled, run elsewhere, and their scores come together all the same."""
    status, out, err = run(
        tmp_path, "-m", "hydra/launcher=submitit_local", *SMALL_AFFINITIES, "name=a",
        "repetition=0,1", "hydra.launcher.timeout_min=5",
    )  # fmt: skip
    assert status == 0, out + err
    assert "2 runs, 0 failed" in out
    assert all(history(tmp_path / "runs", repetition=r).is_done for r in (0, 1))
