"""Profiling of training steps."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import torch
from torch.profiler import ProfilerActivity, profile, schedule

from dacapo.runs import NoWriter, RunWriter
from dacapo.training.terminal import console

_WARM_UP = 10
"""Steps to skip before profiling, because the first ones compile and allocate."""


class Steps(Protocol):
    """Called after each step."""

    def step(self) -> None: ...


class _NoProfiler:
    def step(self) -> None:
        """A profiler that records nothing."""


@contextmanager
def profiled(num_steps: int, writer: RunWriter | NoWriter) -> Iterator[Steps]:
    """Profile some steps, and write a table and a trace to the run's folder.

    Args:
        num_steps: number of steps to profile; 0: none.
    """
    if num_steps == 0:
        yield _NoProfiler()
        return
    activities = [ProfilerActivity.CPU]
    if torch.cuda.is_available():
        activities.append(ProfilerActivity.CUDA)
    watched = schedule(wait=_WARM_UP - 1, warmup=1, active=num_steps, repeat=1)
    with profile(
        activities=activities, schedule=watched, on_trace_ready=lambda p: _write(p, writer)
    ) as profiler:
        yield profiler


def _write(profiler: profile, writer: RunWriter | NoWriter) -> None:
    by = "self_cuda_time_total" if torch.cuda.is_available() else "self_cpu_time_total"
    text = profiler.key_averages().table(sort_by=by, row_limit=20)
    console.print(f"profile: {writer.add_file('profile.txt', text.encode())}")
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "profile.json"
        profiler.export_chrome_trace(str(trace))
        path = writer.add_file("profile.json", trace.read_bytes())
    console.print(f"trace:   {path} (open it in https://ui.perfetto.dev)")
