from __future__ import annotations

from math import nan

import pytest

from dacapo.experiments import TrainingIterationStats, TrainingStats
from dacapo.experiments.run import Run
from dacapo.training import diagnostics as remarks
from dacapo.training.terminal import data_line
from tests.conftest import small_run_config


def stats(waited: float, num: int = 30) -> TrainingStats:
    first = [TrainingIterationStats(i, 1.0, 9.0, 9.0) for i in range(10)]
    return TrainingStats(
        [*first, *(TrainingIterationStats(i, 1.0, 1.0, waited) for i in range(10, num))]
    )


def test_waiting_for_data_is_said_and_what_to_change() -> None:
    assert data_line(stats(0.03)) == "waited for data 3.0% of the time"
    line = data_line(stats(0.2))
    assert line.startswith("waited for data 20.0% of the time: more trainer.num_workers")
    assert data_line(stats(0.2, num=10)) == ""
    assert data_line(stats(nan)) == ""


@pytest.mark.parametrize(
    ("precision", "has", "speed", "said"),
    [
        ("fp32", True, 2.9, "2.9 times faster: trainer.precision=bf16"),
        ("fp32", True, 1.1, ""),
        ("fp32", False, 2.9, ""),
        ("bf16", False, 0.2, "5.0 times slower than in fp32: trainer.precision=fp32"),
        ("bf16", True, 2.9, ""),
    ],
)
def test_which_precision_is_faster_is_measured_and_said(
    monkeypatch: pytest.MonkeyPatch, precision: str, has: bool, speed: float, said: str
) -> None:
    run = Run(small_run_config(f"trainer.precision={precision}"))
    monkeypatch.setattr(remarks, "_has_bf16", lambda: has)
    monkeypatch.setattr(remarks, "bf16_speed", lambda: speed)
    lines = remarks.remarks(run)
    assert len(lines) == bool(said)
    assert all(said in line for line in lines)


def test_the_speed_is_a_ratio() -> None:
    assert 0 < remarks.bf16_speed() < 100
