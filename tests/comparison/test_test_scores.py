"""Test volumes are scored by the final comparison, with what validation chose, and only there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from dacapo.comparison.tables import compare
from dacapo.errors import InputError
from dacapo.experiments.run import Run
from dacapo.experiments.run_config import RunConfig
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
    assert compare(runs_dir, test=True) == []

    best = scores.best("voi")
    assert best is not None
    run = Run(config)
    run.train_state.load_state(RunFolder(runs_dir / "a" / "0").read_checkpoint(best.iteration))
    test_scores = run.datasplit.test[0]
    expected = run.task.evaluator.against(ground_truth(test_scores))(
        segment(run, test_scores, best.parameters)
    )
    with xr.open_dataset(runs_dir / "comparison.nc", engine="h5netcdf") as dataset:
        found = dataset.test_voi.sel(runs="a/0", test_datasets="test").item()
        assert found == pytest.approx(expected.voi)
        assert dataset.test_voi.attrs["higher_is_better"] == 0


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
        compare(tmp_path, test=True)
