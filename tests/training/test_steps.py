from __future__ import annotations

import math
import weakref
from typing import Any

import pytest
import torch

from dacapo.errors import InputError
from dacapo.experiments.run import Run
from dacapo.runs import NoWriter
from dacapo.training import out_of_memory
from dacapo.training.out_of_memory import explained, largest_input
from dacapo.training.steps import Steps
from tests.conftest import small_run_config


class Silent:
    """In place of loggers and progress."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def step(self, stats: Any) -> None: ...

    def log_step(self, stats: Any, batch: Any) -> None:
        self.losses.append(stats.loss)


def stepped(run: Run) -> tuple[Steps, Silent]:
    silent: Any = Silent()
    return Steps(run, 0, NoWriter(), silent, silent), silent


def on_cpu(*more: str) -> Run:
    return Run(small_run_config("trainer.device=cpu", *more))


def test_steps_are_timed_by_themselves_and_stay_the_same() -> None:
    plain, run = on_cpu("num_iterations=30"), on_cpu("num_iterations=30", "trainer.num_workers=2")
    steps, silent = stepped(run)
    for _ in range(30):
        steps.next()
    steps.finish()
    assert silent.losses == [plain.train_step(batch).loss for batch in plain.batches(0)]
    alone = [s.alone for s in run.training_stats.iteration_stats]
    assert all(math.isnan(value) for value in alone[:20])
    assert alone[-1] > 0
    assert len(set(alone[-3:])) == 1


def test_a_pause_ends_the_timing() -> None:
    """A validation between two steps would be counted."""
    run = on_cpu("num_iterations=30", "trainer.num_workers=2")
    steps, _ = stepped(run)
    for _ in range(21):
        steps.next()
    steps.finish()
    for _ in range(6):
        steps.next()
    assert math.isnan(run.training_stats.iteration_stats[-1].alone)


@pytest.mark.parametrize("late", [False, True])
def test_a_step_that_is_read_late_is_reported_with_its_own_batch(
    late: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = on_cpu()
    batches = list(run.batches(0))
    batches[1].raw[:] = float("nan")
    monkeypatch.setattr(run, "batches", lambda begin: iter(batches))
    monkeypatch.setattr(run.train_state, "decides_on_device", False)
    steps, silent = stepped(run)
    monkeypatch.setattr(steps, "_is_late", late)
    for _ in range(2 if late else 1):
        steps.next()
    with pytest.raises(InputError, match="non-finite loss in iteration 1: nan") as raised:
        steps.next()
    assert batches[1].places[0] in str(raised.value)
    assert len(silent.losses) == 1


def test_the_largest_input_that_fits_is_one_the_network_accepts() -> None:
    run = on_cpu()
    assert largest_input(run, [28, 28, 28]) == (28, 28, 28)
    assert largest_input(run, [27, 25, 28]) == (26, 24, 28)
    assert largest_input(run, [5, 28, 28]) is None


def test_other_errors_pass() -> None:
    def fail() -> None:
        raise RuntimeError("other")

    with pytest.raises(RuntimeError, match="other"):
        explained(on_cpu(), 0, fail)


def test_the_tensors_of_a_failed_step_are_gone_when_its_error_is_explained(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held: list[weakref.ref[torch.Tensor]] = []

    def fail() -> None:
        tensor = torch.zeros(3)
        held.append(weakref.ref(tensor))
        raise torch.OutOfMemoryError("CUDA out of memory")

    def message(run: Run, iteration: int) -> str:
        assert held[0]() is None
        return f"out of memory in iteration {iteration}"

    monkeypatch.setattr(out_of_memory, "_message", message)
    with pytest.raises(InputError, match="out of memory in iteration 7") as raised:
        explained(on_cpu(), 7, fail)
    assert raised.value.__context__ is None


def test_a_finished_step_is_logged_though_the_next_one_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = on_cpu()
    real = run.start_step

    def start(batch: Any) -> Any:
        if batch.iteration == 3:
            raise RuntimeError("a bug")
        return real(batch)

    monkeypatch.setattr(run, "start_step", start)
    steps, silent = stepped(run)
    monkeypatch.setattr(steps, "_is_late", True)
    for _ in range(3):
        steps.next()
    with pytest.raises(RuntimeError, match="a bug"):
        steps.next()
    assert len(silent.losses) == 3
