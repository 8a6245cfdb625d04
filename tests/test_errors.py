from __future__ import annotations

import pytest

from dacapo.cli import one_line_errors
from dacapo.errors import InputError
from dacapo.experiments.trainers import DefaultTrainerConfig


def test_a_persons_mistake_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended, one_line_errors():
        raise InputError("task.bias is empty: give [0.5]")
    assert ended.value.code == 1
    assert capsys.readouterr().err == "error: task.bias is empty: give [0.5]\n"


def test_ours_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError), one_line_errors():
        raise ZeroDivisionError


def test_ctrl_c_before_training_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended, one_line_errors():
        raise KeyboardInterrupt
    assert ended.value.code == 130
    assert capsys.readouterr() == ("", "")


def test_a_script_can_catch_it_as_a_value_error() -> None:
    with pytest.raises(ValueError, match=r"trainer.batch_size=0 must be at least 1"):
        DefaultTrainerConfig(batch_size=0)
