"""What inspect shows of data, and which mistakes it sees."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from funlib.geometry import Coordinate

from dacapo.arrays import Array
from dacapo.experiments.datasplits.datasets import Dataset
from dacapo.experiments.datasplits.findings import inspect_labels
from dacapo.inspect import main
from dacapo.ops.synthetic import tissue
from tests.conftest import data_file, write_hdf5

MADE = tissue((48, 64, 64), (8, 8, 8), 24.0, 0.05, (0, 0))
CELLS = np.where(np.bincount(MADE.cells.ravel())[MADE.cells] < 10, 0, MADE.cells)


def dataset(gt: Any, raw: Any = MADE.raw, mask: Any = None) -> Dataset:
    one, zero = Coordinate((8000,) * 3), Coordinate((0,) * 3)
    known = None if mask is None else Array(mask, one, zero, "nm")
    return Dataset(
        "a", Array(raw, one, zero, "nm"), Array(gt, one, zero, "nm"), known,
        intensity_range=(0.0, 255.0),
    )  # fmt: skip


def warnings(*arguments: Any, **more: Any) -> str:
    return " ".join(inspect_labels(dataset(*arguments, **more), {}).warnings)


def test_good_data_have_no_warning() -> None:
    found = inspect_labels(dataset(CELLS), {})
    assert found.warnings == []
    assert found.is_whole
    assert found.annotated == 1
    assert found.sizes == dict(zip(*map(list, np.unique(CELLS, return_counts=True)), strict=True))


def test_labels_beside_their_place() -> None:
    moved = np.roll(MADE.cells, 3, axis=1)
    assert "labels fit raw better when moved by -3 voxels along y" in warnings(moved)


def test_ids_in_8_bits() -> None:
    ids = (np.arange(48 * 64 * 64) // 700 % 256).astype(np.uint8).reshape(48, 64, 64)
    assert "255 ids in uint8: 8 bits hold 255" in warnings(ids)


def test_fragments_and_lone_voxels() -> None:
    labels = MADE.cells.astype(np.uint32)
    labels[::4, ::4, ::4] = 10**6 + np.arange(12 * 16 * 16).reshape(12, 16, 16)
    said = warnings(labels)
    assert "objects have fewer than 10 voxels" in said
    assert "of the labelled voxels have no neighbour of the same id" in said


def test_nothing_annotated() -> None:
    assert warnings(MADE.cells * 0) == "no object is annotated"
    half = np.zeros(MADE.cells.shape, np.uint8)
    half[:24] = 1
    assert inspect_labels(dataset(MADE.cells, mask=half), {}).annotated == 0.5


@pytest.mark.parametrize("name", ["flyem_fibsem_ts2_dev.h5", "plantseg_ovule.h5"])
def test_real_volumes_lie_right(name: str) -> None:
    import h5py

    with h5py.File(data_file(name)) as file:
        raw, labels = file["raw"][:], file["labels"][:]
    assert "fit raw better" not in warnings(labels, raw)


def test_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_hdf5(
        tmp_path / "a.h5", {"raw": MADE.raw, "labels": MADE.cells}, voxel_size=[8, 8, 8], units="nm"
    )
    page = tmp_path / "page.html"
    arguments = ["datasplit=regions", f"datasplit.raw={file}:raw", f"datasplit.gt={file}:labels",
                 "datasplit.axis=x", "datasplit.buffer=80", "task=one_hot",
                 "task.classes={cell: [1], none: [987]}", f"output={page}"]  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["inspect", *arguments])
    main()
    out = capsys.readouterr().out
    assert "8x8x8 nm" in out
    assert "48x64x37" in out
    assert "none 0.0%" in out
    assert "warning: class none has no annotated voxel" in out
    assert page.read_text().count("<img") == 12
