"""One run, step by step: how long it takes, and what memory and disk it needs.

The task is a 96^3 volume of made-up cells, 6 offsets, a U-Net of 80,582 parameters from 56^3 to
16^3, one thread. Times are medians; compare two of them only when both come from one call.

    python benchmarks/run.py
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from hydra import compose, initialize_config_dir

from dacapo.config import conf_dir
from dacapo.experiments.run import Run
from dacapo.experiments.run_config import RunConfig
from dacapo.inference.blocks import predict
from dacapo.inference.scoring import validate
from dacapo.runs import RunFolder

SETTINGS = [
    "datasplit.train_shape=[96,96,96]",
    "datasplit.validate_shape=[96,96,96]",
    "task.neighborhood=[[1,0,0],[0,1,0],[0,0,1],[3,0,0],[0,3,0],[0,0,3]]",
    "task.post_processor.bias=[0.1,0.3,0.5,0.7,0.9]",
    "task.post_processor.long_bias=[0.5]",
    "task.post_processor.min_size=[0]",
    "architecture.input_shape=[56,56,56]",
    "architecture.eval_shape_increase=[80,80,80]",
    "architecture.num_fmaps=8",
    "architecture.fmap_inc_factor=2",
    "trainer.num_threads=1",
]


def run_of(*overrides: str) -> Run:
    """The run, with more changes."""
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        return Run(RunConfig.from_hydra(compose("train", overrides=[*SETTINGS, *overrides])))


def seconds(function: Callable[[], object], times: int) -> float:
    """Median of several calls, the first of which does not count."""
    taken = []
    for _ in range(times + 1):
        begin = time.perf_counter()
        function()
        taken.append(time.perf_counter() - begin)
    return median(taken[1:])


def data_seconds(*overrides: str) -> float:
    """One batch, made in one thread while nothing else happens."""
    batches = run_of("trainer.num_workers=0", "num_iterations=40", *overrides).batches(0)
    return seconds(lambda: next(batches), 30)


def step_seconds(precision: str) -> float:
    """One training step on a batch that is there already."""
    run = run_of(f"trainer.precision={precision}")
    batch = next(run.batches(0))
    return seconds(lambda: run.train_step(batch), 15)


def a_command(folder: Path) -> tuple[float, Path]:
    """Seconds from the command to the end of the first iteration, and the folder it leaves."""
    asked = ["name=benchmark", "num_iterations=60", "validation_interval=30", f"runs_dir={folder}"]
    command = [sys.executable, "-m", "dacapo.train", *SETTINGS, *asked]
    run = RunFolder(folder / "benchmark" / "0")
    begin = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None and not (
            run.path.exists() and run.read_history().trained_until
        ):
            time.sleep(0.01)
        first = time.perf_counter() - begin
    assert process.returncode == 0
    return first, run.path


def main() -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        a_command(Path(folder) / "warm")  # compiled kernels, cached files
        first, path = a_command(Path(folder) / "runs")
        files = [p for p in path.rglob("*") if p.is_file()]
        megabytes = sum(p.stat().st_size for p in files) / 1e6
        memory = RunFolder(path).read_history().outcome["peak_memory_mib"]
    rows = [("command to first iteration", f"{first:.1f} s")]
    rows += [("data, plain", f"{data_seconds('trainer/augments=[]'):.4f} s/iteration")]
    rows += [("data, augmented", f"{data_seconds():.4f} s/iteration")]
    rows += [(f"compute, {p}", f"{step_seconds(p):.3f} s/iteration") for p in ("fp32", "bf16")]
    run = run_of("num_iterations=250")
    dataset = run.datasplit.validate[0]
    rows += [("validation, 96^3, 5 biases", f"{seconds(lambda: validate(run), 3):.1f} s untrained")]
    for batch in run.batches(0):
        run.train_step(batch)
    rows += [("  after 250 iterations", f"{seconds(lambda: validate(run), 3):.1f} s")]
    rows += [("  of which prediction", f"{seconds(lambda: predict(run, dataset), 3):.1f} s")]
    rows += [("peak memory of a run", f"{memory / 1024:.2f} GiB")]
    rows += [("left behind", f"{len(files)} files, {megabytes:.1f} MB")]
    for name, value in rows:
        print(f"{name:30} {value}")


if __name__ == "__main__":
    main()
