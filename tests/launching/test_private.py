"""Jobs are sent through a folder in which only their owner can write."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dacapo.errors import InputError
from dacapo.launching.private import check_private, make_private

needs_root = pytest.mark.skipif(os.getuid() != 0, reason="needs root, to give files away")


def test_a_new_folder_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    first, second = make_private(""), make_private("")
    assert first != second
    assert first.parent == tmp_path / "dacapo" / "jobs"
    assert first.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_others_can_read_or_write(tmp_path: Path) -> None:
    for mode in (0o701, 0o710, 0o770, 0o777, 0o755):
        tmp_path.chmod(mode)
        with pytest.raises(InputError, match=r"hydra.launcher.folder=.*: chmod 700 "):
            check_private(tmp_path)
    tmp_path.chmod(0o700)
    check_private(tmp_path)


def test_each_sweep_has_a_folder_of_its_own_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o002)
    try:
        first, second = (make_private(str(tmp_path / "new" / "jobs")) for _ in range(2))
    finally:
        os.umask(before)
    assert first != second
    assert first.parent == second.parent == tmp_path / "new" / "jobs"
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700


def test_the_folder_is_the_one_that_was_checked(tmp_path: Path) -> None:
    """Whoever may change a link could lead it elsewhere after the check."""
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert make_private(str(tmp_path / "link")).parent == tmp_path / "real"


def test_a_folder_that_others_can_exchange(tmp_path: Path) -> None:
    (tmp_path / "shared" / "mine").mkdir(parents=True, mode=0o700)
    (tmp_path / "shared").chmod(0o777)
    with pytest.raises(InputError, match=r"others can change .*shared, and so replace the folder"):
        check_private(tmp_path / "shared" / "mine")
    (tmp_path / "link").symlink_to(tmp_path / "shared")
    with pytest.raises(InputError, match=r"others can change .*shared"):
        check_private(tmp_path / "link" / "mine")
    (tmp_path / "shared").chmod(0o1777)  # like /tmp
    check_private(tmp_path / "shared" / "mine")


@needs_root
def test_a_folder_below_one_of_another_user(tmp_path: Path) -> None:
    (tmp_path / "theirs" / "mine").mkdir(parents=True, mode=0o700)
    (tmp_path / "theirs").chmod(0o755)
    os.chown(tmp_path / "theirs", 12345, 12345)
    with pytest.raises(InputError, match=r"others can change .*theirs"):
        check_private(tmp_path / "theirs" / "mine")


class Evil:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return Path.touch, (self.marker,)


@pytest.mark.parametrize("is_open", [False, True])
def test_a_pickle_that_another_could_have_exchanged_is_not_read(
    tmp_path: Path, is_open: bool
) -> None:
    folder, marker = make_private(str(tmp_path / "jobs")), tmp_path / "ran"
    (folder / "7_submitted.pkl").write_bytes(pickle.dumps(Evil(marker)))
    folder.chmod(0o777 if is_open else 0o700)
    environment = {**os.environ, "SUBMITIT_EXECUTOR": "local", "SUBMITIT_LOCAL_JOB_ID": "7"}
    command = [sys.executable, "-m", "dacapo.launching.private", str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert marker.exists() is not is_open
    if is_open:
        assert done.stderr.startswith("error: hydra.launcher.folder=")
        assert "Traceback" not in done.stderr
