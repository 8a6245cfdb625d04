from __future__ import annotations

import pytest

from dacapo.cli import one_line_errors
from dacapo.errors import InputError


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


def test_a_mistake_is_a_value_error() -> None:
    assert issubclass(InputError, ValueError)
