"""`squeue` as a program of this name answers; the real one is asked in tests/cluster."""

from __future__ import annotations

from pathlib import Path

import pytest

from dacapo.processes import queue


@pytest.fixture
def squeue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(queue, "_asked", -queue._ANSWER_HOLDS)
    return tmp_path / "squeue"


def answer(program: Path, text: str) -> None:
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(0o755)


def test_no_slurm(squeue: Path) -> None:
    assert queue.is_queued("12") is None


def test_a_controller_that_does_not_answer(squeue: Path) -> None:
    answer(squeue, "echo cannot contact >&2; exit 1")
    assert queue.is_queued("12") is None


def test_jobs_and_the_elements_of_arrays(squeue: Path) -> None:
    answer(squeue, "echo 12; echo 13_4; echo calls >> ${0}.calls")
    assert queue.is_queued("12") is True
    assert queue.is_queued("13_4") is True
    assert queue.is_queued("13_5") is False
    assert squeue.with_suffix(".calls").read_text() == "calls\n"  # asked once


def test_jobs_of_other_users_count(squeue: Path) -> None:
    """A colleague's job that waits has not been lost."""
    answer(squeue, 'case "$*" in *--me*|*-u*) echo 12;; *) echo 12; echo 99;; esac')
    assert queue.is_queued("99") is True
