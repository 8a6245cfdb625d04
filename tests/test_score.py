"""Any two files, scored from the command line."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import zarr

from dacapo import score as program
from dacapo.experiments.tasks.evaluators import InstanceEvaluator
from dacapo.ops.synthetic import tissue
from tests.conftest import data_file, write_hdf5

GRID = {"voxel_size": [40.0, 4.6, 4.6], "offset": [0.0, 0.0, 0.0], "units": "nm"}


@pytest.fixture(params=[256, 5])
def block(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one block, and in several."""
    monkeypatch.setattr("dacapo.inference.score_files._BLOCK", request.param)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["score", *arguments])
    program.main()


def scored(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str
) -> dict[str, dict[str, float]]:
    run(monkeypatch, *arguments, "json=true")
    out: dict[str, dict[str, float]] = json.loads(capsys.readouterr().out)
    return out


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, np.ndarray, np.ndarray, np.ndarray]:
    cells = tissue((8, 24, 24), (1, 1, 1), 10.0, 0.0, (0, 0)).apart(1)
    rng = np.random.default_rng(0)
    other = np.where(rng.random(cells.shape) < 0.1, 0, cells // 2 + 1)
    mask = (rng.random(cells.shape) < 0.8).astype(np.uint8)
    path = write_hdf5(
        tmp_path / "a.h5", {"gt": cells, "seg": other, "mask": mask, "half": other[:4]}, **GRID
    )
    return path, other, cells, mask


@pytest.mark.usefixtures("block")
def test_instances(
    files: tuple[str, np.ndarray, np.ndarray, np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path, other, cells, mask = files
    ours = scored(
        monkeypatch, capsys, f"segmentation={path}:seg", f"gt={path}:gt", f"mask={path}:mask",
        "kind=instance", "ignore_smaller=20",
    )  # fmt: skip
    expected = InstanceEvaluator(20).evaluate(other, cells, mask)
    for name, value in ours["scores"].items():
        theirs = getattr(expected, name)
        assert value == theirs or (value is None and math.isnan(theirs)), name
    assert ours["scores"]["voi"] > 0


def test_classes_in_another_format_and_a_table(
    files: tuple[str, np.ndarray, np.ndarray, np.ndarray],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path, _, cells, _ = files
    group = zarr.open_group(tmp_path / "b.zarr", mode="w")
    array = group.create_array("labels", data=np.where(cells > 3, 2, cells > 0).astype(np.uint8))
    array.attrs.update(GRID)
    arguments = [
        f"segmentation={tmp_path}/b.zarr/labels", f"gt={path}:gt", "kind=semantic",
        "classes={few: [1, 2, 3], none: [77]}",
    ]  # fmt: skip
    ours = scored(monkeypatch, capsys, *arguments)
    ground_truth, prediction = np.isin(cells, [1, 2, 3]), np.isin(group["labels"][...], [1, 2, 3])
    dice = 2 * (ground_truth & prediction).sum() / (ground_truth.sum() + prediction.sum())
    assert ours["scores"]["few__dice"] == ours["scores"]["dice"] == pytest.approx(dice)
    assert ours["scores"]["none__dice"] is None
    assert ours["missing"]["none__dice"] == "both are empty"
    run(monkeypatch, *arguments)
    table = capsys.readouterr().out
    assert "hausdorff_95" in table
    assert "few" in table


@pytest.mark.usefixtures("block")
def test_run_length(
    files: tuple[str, np.ndarray, np.ndarray, np.ndarray],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path, _, cells, _ = files
    z, y, x = np.argwhere(cells == np.bincount(cells[cells > 0]).argmax())[[0, -1]].T
    lines = [
        f"{n} 0 {4.6 * (x[n] + 0.5)} {4.6 * (y[n] + 0.5)} {40 * (z[n] + 0.5)} 1 {n - 1}"
        for n in range(2)
    ]
    (tmp_path / "a.swc").write_text("\n".join(lines))
    ours = scored(
        monkeypatch, capsys, f"segmentation={path}:gt", f"gt={path}:gt", "kind=instance",
        f"skeletons={tmp_path}/a.swc",
    )  # fmt: skip
    step = np.linalg.norm((np.diff([z, y, x]).T * [40, 4.6, 4.6])[0])
    assert ours["scores"]["expected_run_length"] == pytest.approx(step)
    assert ours["scores"]["normalized_expected_run_length"] == 1


def test_files_without_a_voxel_size_are_counted_in_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_hdf5(tmp_path / "a.h5", {"a": np.eye(5, dtype=np.uint8)})
    ours = scored(monkeypatch, capsys, f"segmentation={path}:a", f"gt={path}:a", "kind=semantic")
    assert ours["scores"]["dice"] == 1
    assert "pixel" in str(ours["region"])


@pytest.mark.usefixtures("block")
def test_true_and_false_another_byte_order_and_a_large_mask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gt = np.zeros((6, 8), ">u4")
    gt[2:4, 2:6] = 2**20
    path = write_hdf5(tmp_path / "a.h5", {"gt": gt, "seg": gt != 0}, voxel_size=[2.0, 2.0])
    wide = np.ones((10, 12), np.float32)
    mask = write_hdf5(tmp_path / "m.h5", {"m": wide}, voxel_size=[2.0, 2.0], offset=[-4.0, -4.0])
    ours = scored(
        monkeypatch, capsys, f"segmentation={path}:seg", f"gt={path}:gt", f"mask={mask}:m",
        "kind=instance",
    )  # fmt: skip
    assert ours["scores"]["f1_75"] == 1
    assert ours["scores"]["voi"] == 0


@pytest.mark.usefixtures("block")
def test_a_part_only_when_asked_for(
    files: tuple[str, np.ndarray, np.ndarray, np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path, other, cells, _ = files
    ours = scored(
        monkeypatch, capsys, f"segmentation={path}:half", f"gt={path}:gt", "kind=instance",
        "overlap_only=true",
    )  # fmt: skip
    expected = InstanceEvaluator().evaluate(other[:4], cells[:4])
    assert ours["scores"]["voi"] == pytest.approx(expected.voi)
    assert str(ours["region"]).startswith("[4, 24, 24] voxels")


def test_a_real_volume_against_itself(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = data_file("flyem_fibsem_ts2_dev.h5")
    ours = scored(
        monkeypatch, capsys, f"segmentation={path}:labels", f"gt={path}:labels",
        f"mask={path}:mask", "kind=instance",
    )  # fmt: skip
    assert ours["scores"]["num_objects"] == 397
    assert ours["scores"]["voi"] == 0
    assert ours["scores"]["average_precision"] == 1
