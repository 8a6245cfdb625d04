"""Train, kill, resume, predict and compare in a loop, and watch that nothing grows.

In each cycle a process trains and is killed; this one resumes its run, trains it further, predicts
and segments a volume with it, and compares. After each cycle it prints its memory, open files and
threads; the exit status is 1 if the last quarter of the cycles has more of any than the second one.

    python benchmarks/soak.py [minutes=45] [seed=0]
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import time
from contextlib import redirect_stdout
from dataclasses import astuple, dataclass, fields
from io import StringIO
from pathlib import Path
from statistics import median
from typing import Any

import h5py
import numpy as np

from dacapo.comparison.gather import CompareOptions
from dacapo.comparison.tables import compare
from dacapo.predict import PredictConfig, predict_command
from dacapo.runs import RunFolder
from dacapo.segment import SegmentConfig, segment_command
from dacapo.train import train
from tests.conftest import SMALL_AFFINITIES, small_run_config

ASKED = {"minutes": "45", "seed": "0"}
_MAX_GROWTH = 1.03
"""Of memory; open files and threads may not grow at all."""
_LONGEST = 12.0
"""Seconds after which a process is killed at the latest."""


@dataclass(frozen=True)
class Usage:
    """What this process uses."""

    mib: float
    files: float
    threads: float

    @classmethod
    def now(cls) -> Usage:
        """At this moment."""
        status = Path("/proc/self/status").read_text().splitlines()
        found = dict(line.split(":", 1) for line in status if ":" in line)
        memory = int(found["VmRSS"].split()[0]) / 1024
        return cls(memory, len(os.listdir("/proc/self/fd")), int(found["Threads"]))


def cycle(folder: Path, rng: random.Random) -> int:
    """One round; returns the iteration at which the run was found after the kill."""
    runs, own = folder / "runs", ["name=soak", "trainer.schedule_iterations=12"]
    arguments = [*SMALL_AFFINITIES, *own, "num_iterations=12", f"runs_dir={runs}"]
    command = [sys.executable, "-m", "dacapo.train", *arguments]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as victim:
        try:
            victim.wait(rng.uniform(2.0, _LONGEST))
        except subprocess.TimeoutExpired:
            victim.kill()
    run = RunFolder(runs / "soak" / "0")
    reached = run.read_history().trained_until if run.holds_run() else 0
    for length in (12, 18):
        train(small_run_config(*own, f"num_iterations={length}"), runs)
    raw = folder / "raw.h5"
    with h5py.File(raw, "w") as file:
        made = file.create_dataset("raw", data=np.random.default_rng(0).random((40, 40, 40)))
        made.attrs.update(voxel_size=[8, 8, 8], units="nm")
    given: dict[str, Any] = {
        "run": ["soak/0"],
        "runs_dir": str(runs),
        "input": f"{raw}:raw",
        "chunk": 16,
    }
    predict_command(PredictConfig(output=str(folder / "p.ome.zarr"), **given))
    segment_command(SegmentConfig(output=str(folder / "s.ome.zarr"), **given))
    compare(runs, CompareOptions())
    return reached


def main() -> int:
    """Cycle until the time is over; the exit status."""
    given = ASKED | dict(argument.split("=", 1) for argument in sys.argv[1:])
    rng, begin = random.Random(int(given["seed"])), time.monotonic()
    used: list[Usage] = []
    while time.monotonic() - begin < 60 * float(given["minutes"]):
        with tempfile.TemporaryDirectory() as folder, redirect_stdout(StringIO()):
            reached = cycle(Path(folder), rng)
        used.append(Usage.now())
        print(len(used), f"killed at {reached}", used[-1], flush=True)
    quarter = max(1, len(used) // 4)
    before, after = used[quarter : 2 * quarter], used[-quarter:]
    grows = False
    for field, *values in zip(fields(Usage), *map(astuple, (*before, *after)), strict=True):
        first, last = median(values[: len(before)]), median(values[len(before) :])
        grows |= last > first * (_MAX_GROWTH if field.name == "mib" else 1)
        print(f"{field.name}: {first:g}, then {last:g}")
    return int(grows)


if __name__ == "__main__":
    sys.exit(main())
