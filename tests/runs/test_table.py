from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dacapo.runs.table import Table


def rows(path: Path) -> list[str]:
    return path.read_text().splitlines()


def test_rows_of_an_earlier_process_are_kept_up_to_where_it_resumes(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("iteration,loss\n0,1.5\n1,2.5\n2,3.5\n3\nx,1\n")
    table = Table(path, ("iteration", "loss"), 2)
    table.add(2, "9")
    table.close()
    assert rows(path) == ["iteration,loss", "0,1.5", "1,2.5", "2,9"]
    assert [p.name for p in tmp_path.iterdir()] == ["a.csv"]


@pytest.mark.parametrize("content", [b"iteration,loss\n0,\xff\n1,2\n", b"\x00\xff", b"", b"a,b\n"])
def test_a_broken_file_ends_nothing(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    table = Table(path, ("iteration", "loss"), 2)
    table.add(2, "9")
    table.close()
    assert rows(path)[0] == "iteration,loss"
    assert rows(path)[-1] == "2,9"


def test_a_folder_in_its_place_is_reported_and_ends_nothing(tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "a.csv"
    (path / "x").mkdir(parents=True)
    table = Table(path, ("iteration",), 0)
    for number in range(3):
        table.add(number)
        table.flush()
    table.close()
    assert capsys.readouterr().err.count("a.csv is no longer written: Is a directory") == 1
    assert [p.name for p in tmp_path.iterdir()] == ["a.csv"]


def test_a_full_disk_is_reported_once_and_ends_nothing(
    tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = Table(tmp_path / "a.csv", ("iteration",), 0)
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(table, "_file", full)
        for number in range(3):
            table.add(number)
            table.flush()
        table.close()
        monkeypatch.undo()
    assert capsys.readouterr().err.count("no longer written: No space left on device") == 1


def test_two_processes_do_not_mix_their_rows(tmp_path: Path) -> None:
    """The first was taken for dead, and writes once more."""
    path = tmp_path / "a.csv"
    first = Table(path, ("iteration",), 0)
    first.add(0)
    first.flush()
    second = Table(path, ("iteration",), 1)
    first.add(1)
    first.close()
    second.add(1)
    second.close()
    assert rows(path) == ["iteration", "0", "1"]


def test_no_cell_is_a_formula(tmp_path: Path) -> None:
    table = Table(tmp_path / "a.csv", ("iteration", "dataset", "loss"), 0)
    for name in ("=cmd()", "+1+1", "-x", "@SUM(A1)", "a=1"):
        table.add(0, name, "-0.5")
    table.close()
    cells = [row.split(",")[1:] for row in rows(tmp_path / "a.csv")[1:]]
    assert [c[0] for c in cells] == ["'=cmd()", "'+1+1", "'-x", "'@SUM(A1)", "a=1"]
    assert {c[1] for c in cells} == {"-0.5"}
