"""The job queue of a SLURM cluster."""

from __future__ import annotations

import subprocess
import time

_ANSWER_HOLDS = 5.0
"""Seconds for which an answer is cached, so that a table of many runs asks only once."""
_PATIENCE = 30.0
"""Seconds to wait for an answer."""

_asked = -_ANSWER_HOLDS
_jobs: set[str] | None = None


def is_queued(job: str) -> bool | None:
    """Whether a job of any user is waiting or running; None without SLURM or its answer.

    Args:
        job: the job id, `123`, or `123_4` in an array.
    """
    global _asked, _jobs  # noqa: PLW0603 (one answer a process)
    if time.monotonic() - _asked > _ANSWER_HOLDS:
        _jobs = _ask()
        _asked = time.monotonic()
    return None if _jobs is None else job in _jobs


def _ask() -> set[str] | None:
    command = ["squeue", "--noheader", "--array", "--format=%i"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_PATIENCE, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode != 0:
        return None
    return set(done.stdout.split())
