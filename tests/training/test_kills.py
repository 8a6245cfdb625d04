"""A run that is killed ends equal to one that is not."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from dacapo.runs import RunFolder
from tests.command_line import command, environment, history, run
from tests.conftest import SMALL_AFFINITIES


@pytest.mark.slow
class TestKilled:
    """SIGKILL at random times; in the end everything is equal to the bit."""

    RUN = (
        *SMALL_AFFINITIES, "name=a", "num_iterations=90", "validation_interval=25",
        "trainer.checkpoint_interval=9", "trainer.num_workers=2", "trainer.batch_size=2",
        "task.lsds=true", "task.lsd_sigma=1.0", "trainer.micro_batches=2",
        "trainer.ema_decay=0.99", "trainer.precision=bf16", "trainer.schedule=plateau",
        "trainer.plateau_patience=0", "architecture.norm=batch",
    )  # fmt: skip

    def wait_for_step(self, process: subprocess.Popen[bytes], runs_dir: Path, step: int) -> bool:
        """False when the process ended before."""
        while process.poll() is None:
            folder = RunFolder(runs_dir / "a" / "0")
            if folder.path.exists() and folder.read_history().training_stats.trained_until() > step:
                return True
            time.sleep(0.005)
        return False

    @pytest.mark.parametrize(
        ("num_kills", "num_iterations"), [(5, 90), pytest.param(50, 1000, marks=pytest.mark.long)]
    )
    def test_resume_equals_uninterrupted(
        self, tmp_path: Path, rng: np.random.Generator, num_kills: int, num_iterations: int
    ) -> None:
        settings = (*self.RUN, f"num_iterations={num_iterations}")
        whole, killed = tmp_path / "whole", tmp_path / "killed"
        status, _, err = run(tmp_path, *settings, f"runs_dir={whole}")
        assert status == 0, err
        kills = []
        while True:
            process = subprocess.Popen(
                command(*settings, f"runs_dir={killed}"), cwd=tmp_path, env=environment(),
                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            )  # fmt: skip
            # What is left is shared among the kills to come, so that none falls behind the end.
            reached = kills[-1] if kills else 0
            furthest = (num_iterations - reached) // (num_kills - len(kills) + 1)
            target = reached + int(rng.integers(0, max(furthest, 1)))
            if len(kills) < num_kills and self.wait_for_step(process, killed, target):
                time.sleep(float(rng.uniform(0, 0.03)))
                process.send_signal(signal.SIGKILL)
                process.wait()
                kills.append(history(killed).training_stats.trained_until())
                continue
            _, errors = process.communicate(timeout=300)
            assert process.returncode == 0, errors
            break
        print(f"killed at {kills}")
        assert len(kills) >= num_kills * 3 // 5
        one, two = history(whole), history(killed)
        assert [s.loss for s in one.training_stats.iteration_stats] == [
            s.loss for s in two.training_stats.iteration_stats
        ]
        assert one.scores == two.scores
        ours, theirs = (
            RunFolder(d / "a" / "0").read_checkpoint(num_iterations) for d in (whole, killed)
        )
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[k], theirs[k]) for k in ours)

    def test_two_processes_on_one_run(self, tmp_path: Path) -> None:
        runs_dir = tmp_path / "runs"
        first = subprocess.Popen(
            command(*self.RUN, f"runs_dir={runs_dir}"), cwd=tmp_path, env=environment(),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            assert self.wait_for_step(first, runs_dir, 2)
            status, _, err = run(tmp_path, *self.RUN, f"runs_dir={runs_dir}")
            assert status == 1
            assert f"is being trained by process {first.pid} on " in err
        finally:
            first.kill()
            first.wait()
