"""The cores of this process."""

from __future__ import annotations

import os


def num_cores() -> int:
    """How many cores this process may use: its share of the machine, and of SLURM's job."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    given = os.environ.get("SLURM_CPUS_PER_TASK", "")  # not every cluster binds its jobs to cores
    return min(cores or 1, int(given)) if given.isdigit() and int(given) else cores or 1
