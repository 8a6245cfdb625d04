"""Which runs are compared."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import xarray as xr

from dacapo.comparison.choose import chosen, read_all
from dacapo.comparison.tables import CompareOptions, compare
from dacapo.errors import InputError
from tests.comparison.test_verdict import column, write_runs


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    one, other = tmp_path / "one" / "runs", tmp_path / "other" / "runs"
    write_runs(one, "a", column(1.0, 0))
    write_runs(one, "b", column(2.0, 1))
    write_runs(other, "c", column(3.0, 2))
    return [one, other]


def test_runs_of_two_folders_are_one_comparison(folders: list[Path], tmp_path: Path) -> None:
    one, other = folders
    output = tmp_path / "all.nc"
    compare(one, CompareOptions(output, more=[other]))
    with xr.open_dataset(output, engine="h5netcdf") as dataset:
        assert {str(label).partition("/")[0] for label in dataset["runs"].values} == set("abc")


def test_equal_names_are_told_apart_by_their_folders(folders: list[Path]) -> None:
    _, other = folders
    write_runs(other, "a", column(4.0, 3))
    runs, _ = read_all(folders)
    labels = [run.label for run in runs]
    assert len(set(labels)) == len(labels)
    assert {label.rpartition("/")[0] for label in labels} == {
        "one/runs/a", "one/runs/b", "other/runs/a", "other/runs/c"
    }  # fmt: skip
    assert all(run.folder.path.is_dir() for run in runs)


def test_one_name_in_two_folders_is_not_one_configuration(tmp_path: Path) -> None:
    """Not even if their repetitions complete each other."""
    write_runs(tmp_path / "x", "a", [[1.0], [1.1]])
    write_runs(tmp_path / "y", "a", [[2.0], [2.1], [2.2]])
    for repetition in range(2):
        shutil.rmtree(tmp_path / "y" / "a" / str(repetition))
    runs, _ = read_all([tmp_path / "x", tmp_path / "y"])
    assert {run.configuration for run in runs} == {"x/a", "y/a"}


def test_a_folder_named_twice(folders: list[Path]) -> None:
    one, _ = folders
    with pytest.raises(InputError, match="name each folder once"):
        read_all([one, one / ".." / "runs"])
    with pytest.raises(InputError, match="the folder holds no runs"):
        read_all([one, one.parent])


def test_conditions(folders: list[Path]) -> None:
    runs, _ = read_all(folders)
    states = {run.label: "done" for run in runs}
    states["a/0"] = "failed"

    def names(*where: str) -> list[str]:
        return sorted({run.label for run in chosen(runs, states, where)})

    assert all(label.startswith("a/") for label in names("name=a"))
    assert "a/0" not in names("status=done")
    assert names("status=failed") == ["a/0"]
    both = names("name=a|b", "repetition=1")
    assert both == ["a/1", "b/1"]


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("nmae=a", "did you mean name?"),
        ("name", "give KEY=VALUE"),
        ("name=z", r"no run is left; name is a, b, c"),
    ],
)
def test_conditions_that_hold_for_nothing(
    folders: list[Path], condition: str, message: str
) -> None:
    runs, _ = read_all(folders)
    with pytest.raises(InputError, match=message.replace("?", r"\?")):
        chosen(runs, {run.label: "done" for run in runs}, [condition])
