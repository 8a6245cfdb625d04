"""Segmentations that no run has made stand beside the runs, as single observations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from dacapo.compare import CompareConfig, compare_command
from dacapo.comparison.tables import CompareOptions, compare
from dacapo.errors import InputError
from dacapo.experiments.run_config import RunConfig
from dacapo.train import train
from tests.conftest import SMALL_AFFINITIES, composed, write_hdf5


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two repetitions on a file, whose validation region is the half with larger x."""
    folder = tmp_path_factory.mktemp("elsewhere")
    rng = np.random.default_rng(1)
    raw = rng.integers(0, 255, (48, 48, 96), np.uint8)
    gt = (np.indices(raw.shape) // 12).sum(axis=0).astype(np.uint64) + 1
    halves = np.where(gt % 2 == 1, gt, gt + 100)
    file = write_hdf5(
        folder / "a.h5", {"raw": raw, "gt": gt, "one": np.ones_like(gt), "again": halves},
        voxel_size=[8, 8, 8], units="nm",
    )  # fmt: skip
    small = [o for o in SMALL_AFFINITIES if not o.startswith("datasplit.")]
    for repetition in range(2):
        config = RunConfig.from_hydra(
            composed(
                *small, "name=a", "datasplit=regions", f"datasplit.raw={file}:raw",
                f"datasplit.gt={file}:gt", "datasplit.axis=x", "datasplit.train=0.5",
                "datasplit.validate=0.5", "datasplit.test=0", "datasplit.buffer=80",
                f"repetition={repetition}",
            )
        )  # fmt: skip
        train(config, folder / "runs")
    return folder


def test_they_are_scored_like_the_runs(
    trained: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    report = tmp_path / "report.html"
    found = {"truth": f"{trained}/a.h5:again", "blob": {"validate": f"{trained}/a.h5:one"}}
    compare_command(
        CompareConfig(runs_dir=[str(trained / "runs")], report=str(report), segmentation=found)
    )
    out = " ".join(capsys.readouterr().out.split())
    assert "truth, a single segmentation, scores 0" in out
    assert "a: of 2 runs 2 collapsed" in out  # it was trained on noise
    assert "blob, a single segmentation, scores " in out
    assert "truth (not of a run)" in out
    assert "truth (not of a run)" in report.read_text()


def test_a_file_without_a_voxel_size_must_have_the_shape_of_the_volume(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def scored(name: str) -> None:
        found = {"mine": str(tmp_path / name)}
        compare(trained / "runs", CompareOptions(tmp_path / "c.nc", segmentations=found))

    tifffile.imwrite(tmp_path / "t.tif", np.ones((9, 9, 9), np.uint16))
    with pytest.raises(
        InputError, match=r"its shape, \[9, 9, 9\], is not that of validate"
    ) as error:
        scored("t.tif")
    shape = tuple(int(n) for n in str(error.value).rpartition("[")[2].rstrip("]").split(","))
    tifffile.imwrite(tmp_path / "s.tif", np.ones(shape, np.uint16))
    scored("s.tif")
    assert "mine, a single segmentation, scores" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"b": "x.h5:y"}, r"segmentation.mine: name its file for validate"),
        ("missing.h5:y", r"missing.h5"),
    ],
)
def test_what_is_wrong_is_named(trained: Path, tmp_path: Path, files: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        compare(trained / "runs", CompareOptions(tmp_path / "c.nc", segmentations={"mine": files}))
