from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dacapo.arrays.formats.swc import read_swc
from dacapo.errors import InputError

TREE = """\
# a branching tree, and a lone node
1 2 0 0 0 1 -1
2 2 30 0 0 1 1
3 2 30 40 0 1 2
4 2 30 0 100 1 2
9 2 7 8 9 1 -1
"""


def test_a_tree(tmp_path: Path) -> None:
    path = tmp_path / "a.swc"
    path.write_text(TREE)
    skeletons = read_swc(path, "nm")
    assert skeletons.skeleton.tolist() == [0, 0, 0, 0, 1]
    assert skeletons.edges.tolist() == [[1, 0], [2, 1], [3, 1]]
    assert skeletons.length.tolist() == [30, 40, 100]
    assert skeletons.position[3].tolist() == [100_000, 0, 30_000]  # z, y, x in pm
    assert read_swc(path, "um").length.tolist() == [30_000, 40_000, 100_000]  # in nm


def test_a_folder_holds_several(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.swc").write_text(TREE)
    skeletons = read_swc(tmp_path, "nm")
    assert skeletons.skeleton.tolist() == [0, 0, 0, 0, 1, 2, 2, 2, 2, 3]
    assert skeletons.edges.max() == 8
    assert np.array_equal(skeletons.length[:3], skeletons.length[3:])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 2 0 0 0 1\n", "seven numbers per line are expected"),
        ("", "seven numbers per line are expected"),
        ("1 2 a 0 0 1 -1\n", "could not convert string 'a'"),
        ("1 2 0 0 0 1 -1\n2 2 0 0 0 1 7\n", "node 7 is named as a parent but is not in the file"),
        ("1 2 0 0 0 1 -1\n1 2 0 0 0 1 -1\n", "a node id occurs twice"),
    ],
)
@pytest.mark.filterwarnings("ignore:loadtxt")
def test_bad_files(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "a.swc"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_swc(path, "nm", "datasplit.validate.a.skeletons")


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"skeletons=.*none.swc: no .swc file found"):
        read_swc(tmp_path / "none.swc", "nm")
    with pytest.raises(InputError, match=r"no .swc file found"):
        read_swc(tmp_path, "nm")
