"""Several processes train one run: the same result as one process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from dacapo.processes.ranks import Ranks
from dacapo.runs import RunFolder
from tests.conftest import SMALL_AFFINITIES

HARD = [
    "trainer.batch_size=2",
    "trainer.micro_batches=2",
    "trainer.ema_decay=0.9",
    "trainer.num_threads=1",
    "trainer.checkpoint_interval=1",
    "num_iterations=12",
    "validation_interval=6",
]


def start(folder: Path, processes: int, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m"]
    if processes > 1:
        command += ["torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", "-m"]
    command += ["dacapo.train", *SMALL_AFFINITIES, *HARD, "name=a", *more]
    # Equal to the bit is promised on CPUs; there may be fewer GPUs than processes.
    environment = {**os.environ, "CI": "1", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def run_of(folder: Path) -> RunFolder:
    return RunFolder(folder / "runs" / "a" / "0")


def same(one: Path, other: Path) -> None:
    histories = [run_of(f).read_history() for f in (one, other)]
    assert histories[0].trained_until == histories[1].trained_until == 12
    losses = [[s.loss for s in h.training_stats.iteration_stats] for h in histories]
    assert losses[0] == losses[1]
    assert histories[0].scores == histories[1].scores
    states = [run_of(f).read_checkpoint(12) for f in (one, other)]
    assert states[0].keys() == states[1].keys()
    for key, value in states[0].items():
        assert torch.equal(value, states[1][key]), key


@pytest.mark.slow
def test_two_processes_end_equal_to_one_also_after_a_kill(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        folder.mkdir()
    both = [start(one, 1), start(two, 2)]
    while len(run_of(two).checkpoints()) < 2 and both[1].poll() is None:
        time.sleep(0.05)
    owner = run_of(two).read_history().owner
    assert owner is not None
    os.kill(owner.pid, signal.SIGKILL)  # the other one cannot go on alone, and must not hang
    both[1].communicate(timeout=60)
    assert both[1].returncode != 0
    text = both[0].communicate(timeout=300)[0]
    assert both[0].returncode == 0, text
    again = start(two, 2)
    text = again.communicate(timeout=300)[0]
    assert again.returncode == 0, text
    assert "resuming from iteration" in text
    assert "2 processes" in text
    assert text.count("Validation\n") == 1  # one of them speaks
    same(one, two)


@pytest.mark.slow
def test_three_processes_end_equal_to_one(tmp_path: Path) -> None:
    one, three = tmp_path / "one", tmp_path / "three"
    for folder in (one, three):
        folder.mkdir()
    parts = ("trainer.batch_size=3", "trainer.micro_batches=3")
    for process in (start(one, 1, *parts), start(three, 3, *parts)):
        text = process.communicate(timeout=300)[0]
        assert process.returncode == 0, text
    same(one, three)


@pytest.mark.slow
def test_a_mistake_is_told_once_and_nothing_hangs(tmp_path: Path) -> None:
    process = start(tmp_path, 2, "trainer.micro_batches=1")
    text = process.communicate(timeout=120)[0]
    assert process.returncode == 1
    assert text.count("error: trainer.micro_batches=1 cannot be shared by 2 processes") == 1


def test_shares_cover_a_batch() -> None:
    shares = [Ranks(rank, 3).shard(12) for rank in range(3)]
    assert [i for share in shares for i in share] == list(range(12))
