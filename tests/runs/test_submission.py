from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from dacapo.runs import Submission, launcher_beat
from dacapo.runs.owner import Owner


def elsewhere(beat: str) -> Submission:
    launcher = replace(Owner.current(), host="other", boot="other")
    return Submission(0, beat=beat, launcher=launcher)


def test_round_trip_and_a_newer_version() -> None:
    submission = Submission(2, "7_1", "a.log", beat="x", lost="why")
    assert Submission.decode(submission.encode()) == submission
    newer = submission.encode().replace(b'"job"', b'"queue": "gpu", "job"')
    assert Submission.decode(newer) == submission


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b'{"launcher": 1}', b"\xff"])
def test_what_is_not_a_submission(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        Submission.decode(text)


def test_a_launcher_elsewhere_lives_as_long_as_it_says_so(tmp_path: Path) -> None:
    with launcher_beat(tmp_path) as beat:
        assert elsewhere(beat).is_launcher_alive(tmp_path)
        assert not elsewhere("").is_launcher_alive(tmp_path)
        an_hour_ago = time.time() - 3600
        os.utime(tmp_path / f".launcher-{beat}", (an_hour_ago, an_hour_ago))
        assert not elsewhere(beat).is_launcher_alive(tmp_path)
    assert not elsewhere(beat).is_launcher_alive(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_sign_of_life_is_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dacapo.runs.submission.BEAT", 0.05)
    with launcher_beat(tmp_path) as beat:
        path = tmp_path / f".launcher-{beat}"
        os.utime(path, (0, 0))
        deadline = time.monotonic() + 10
        while path.stat().st_mtime == 0:
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_a_launcher_after_a_reboot_is_dead(tmp_path: Path) -> None:
    with launcher_beat(tmp_path) as beat:
        before = replace(Owner.current(), boot="the one before")
        assert not Submission(0, beat=beat, launcher=before).is_launcher_alive(tmp_path)


def test_what_killed_launchers_left_is_deleted(tmp_path: Path) -> None:
    for name, age in (("old", 8), ("new", 6)):
        path = tmp_path / f".launcher-{name}"
        path.write_bytes(b"")
        os.utime(path, (time.time() - age * 86400,) * 2)
    with launcher_beat(tmp_path) as beat:
        assert {p.name for p in tmp_path.iterdir()} == {".launcher-new", f".launcher-{beat}"}
