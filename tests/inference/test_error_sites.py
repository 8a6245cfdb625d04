"""The places where a segmentation errs, ranked, in a table and in the viewer."""

from __future__ import annotations

import urllib.request
from pathlib import Path

import numpy as np
import pytest

from dacapo.arrays import open_array
from dacapo.errors import InputError
from dacapo.figures.neuroglancer import file_layers, show, site_points
from dacapo.inference.error_sites import read_sites
from dacapo.score import Kind, ScoreConfig, score_command
from dacapo.view import ViewConfig, view
from tests.conftest import write_hdf5

GRID = {"voxel_size": [40.0, 4.5, 4.5], "offset": [80.0, 0.0, 9.0], "units": "nm"}


@pytest.fixture(params=[256, 5])
def files(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A large object that is split, two that are merged, and a split that is not annotated."""
    monkeypatch.setattr("dacapo.inference.score_files._BLOCK", request.param)
    gt = np.zeros((8, 12, 12), np.uint64)
    gt[:, :5] = 7
    gt[:, 6:9] = 2**63
    gt[:, 9:] = 5
    found = gt.copy()
    found[5:, :5] = 70
    found[:, 6:] = 9
    found[0, :2] = 71
    mask = np.ones(gt.shape, np.uint8)
    mask[0] = 0
    return write_hdf5(tmp_path / "a.h5", {"gt": gt, "found": found, "mask": mask}, **GRID)


def options(files: str, table: Path) -> ScoreConfig:
    return ScoreConfig(
        segmentation=f"{files}:found", gt=f"{files}:gt", mask=f"{files}:mask", kind=Kind.instance,
        sites=str(table),
    )  # fmt: skip


def test_the_largest_come_first_and_lie_where_the_parts_meet(files: str, tmp_path: Path) -> None:
    table = tmp_path / "sites.csv"
    score_command(options(files, table))
    split, merge = sorted(read_sites(table, "sites"), key=lambda site: site.kind, reverse=True)
    assert (split.kind, split.inside, split.first, split.second) == ("split", 7, 7, 70)
    assert split.voxels == 3 * 5 * 12  # of the smaller part
    assert split.faces == 5 * 12
    assert (merge.kind, merge.inside, merge.first, merge.second) == ("merge", 9, 5, 2**63)
    assert merge.voxels == 7 * 3 * 12
    assert merge.faces == 7 * 12
    assert [s.kind for s in read_sites(table, "sites")] == ["merge", "split"]
    array = open_array(f"{files}:gt")
    at = (split.position - array.offset) / array.voxel_size
    assert at[0] == 4
    assert at[1] < 5
    at = (merge.position - array.offset) / array.voxel_size
    assert at[1] == 8
    header = table.read_text().split("\n")[0]
    assert header == "kind,voxels,faces,inside,first,second,z_nm,y_nm,x_nm"


def test_they_are_layers_of_the_viewer(files: str, tmp_path: Path) -> None:
    pytest.importorskip("neuroglancer", reason="needs neuroglancer")
    table = tmp_path / "sites.csv"
    score_command(options(files, table))
    points = site_points(str(table))
    assert set(points) == {"splits", "merges"}
    (point,) = points["splits"]
    assert point.text == "180 voxels: object 7, segments 7, 70"
    assert point.position[0] == 80 + 40 * 4.5
    layers = file_layers(None, None, f"{files}:gt", f"{files}:found")
    with (
        show(layers, "127.0.0.1", 0, points) as url,
        urllib.request.urlopen(url, timeout=30) as page,
    ):
        assert page.status == 200


def test_mistakes(files: str, tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match=r"sites=.*other.csv is not a table that dacapo.score"):
        view(ViewConfig(gt=f"{files}:gt", sites=str(tmp_path / "other.csv")))
    with pytest.raises(InputError, match=r"sites=.*none.csv is not a table .* No such file"):
        view(ViewConfig(gt=f"{files}:gt", sites=str(tmp_path / "none.csv")))
    with pytest.raises(InputError, match="sites are of volumes"):
        view(ViewConfig(run="a/0", sites="a.csv"))
    with pytest.raises(InputError, match=r"sites=a.txt: the name must end in .csv"):
        options(files, Path("a.txt"))
