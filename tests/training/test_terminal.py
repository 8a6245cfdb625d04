from __future__ import annotations

from math import nan

from dacapo.experiments import TrainingIterationStats, TrainingStats
from dacapo.training.terminal import data_line


def stats(waited: float, num: int = 30) -> TrainingStats:
    first = [TrainingIterationStats(i, 1.0, 9.0, 9.0) for i in range(10)]
    return TrainingStats(
        [*first, *(TrainingIterationStats(i, 1.0, 1.0, waited) for i in range(10, num))]
    )


def test_waiting_for_data_is_said_and_what_to_change() -> None:
    assert data_line(stats(0.03)) == "waited for data 3.0% of the time"
    line = data_line(stats(0.2))
    assert line.startswith("waited for data 20.0% of the time: raise trainer.num_workers")
    assert data_line(stats(0.2, num=10)) == ""
    assert data_line(stats(nan)) == ""
