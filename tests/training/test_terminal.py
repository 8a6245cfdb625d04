from __future__ import annotations

import time
from math import nan

import pytest

from dacapo.experiments import TrainingIterationStats, TrainingStats
from dacapo.training.terminal import (
    console,
    print_table,
    rates,
    reported,
    speed_line,
    training_progress,
)


def stats(alone: float, num: int = 30) -> TrainingStats:
    """Steps of half a second, after slow ones."""
    first = [TrainingIterationStats(i, 1.0, 9.0, nan) for i in range(10)]
    return TrainingStats(
        [*first, *(TrainingIterationStats(i, 1.0, 0.5, alone) for i in range(10, num))]
    )


def test_the_loop_is_compared_with_the_step_by_itself() -> None:
    assert rates(stats(0.4)) == (2.0, 2.5)
    assert speed_line(stats(0.45)) == "2 it/s, 90% of the 2.22 it/s of the step by itself"
    assert speed_line(stats(0.5, num=130)) == "2 it/s, as fast as the step by itself"
    assert speed_line(stats(0.2)) == "2 it/s, 40% of the 5 it/s of the step by itself"
    line = speed_line(stats(0.2, num=130))
    assert line.startswith("2 it/s, 40% of the 5 it/s of the step by itself: raise trainer.num_w")
    assert speed_line(stats(0.2, num=10)) == ""
    assert speed_line(stats(nan)) == ""


def wait_for_line(capsys: pytest.CaptureFixture[str], text: str) -> str:
    """The output, once it holds a text."""
    out, begin = "", time.monotonic()
    while text not in out and time.monotonic() - begin < 10:
        time.sleep(0.01)
        out += capsys.readouterr().out
    return out


def test_without_a_terminal_a_line_says_from_time_to_time_what_is_done(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with reported("opening the data", every=0.02):
        assert "opening the data (after 0:00)\n" in wait_for_line(capsys, "opening")
    with training_progress("a/0", 0, 100, every=0.02) as progress:
        progress.step(TrainingIterationStats(3, 0.5, 2.0))
        out = wait_for_line(capsys, "loss")
        assert "iteration 4/100: loss 0.5000, 0.50 it/s, 3:12 left (after 0:00)\n" in out
        with progress.doing("validating"):
            assert "validating iteration 4/100: " in wait_for_line(capsys, "validating")
    capsys.readouterr()
    time.sleep(0.1)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("width", [60, 80, 240])
def test_no_word_of_a_table_is_cut(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "width", width)
    row = ["100", "6.226", "0.860", "0.015", "bias=0.3,long_bias=0.7,min_size=64"]
    print_table("T", ["iteration", "voi", "adapted_rand_error", "f1_50", "parameters"], [row])
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= width
    words = out.replace("│", " ").replace("┃", " ").split()
    for word in ("min_size=64", "iteration", "6.226", "0.860"):
        assert word in " ".join(words)
    assert ("adapted_rand_error" in words) == (width == 240)
