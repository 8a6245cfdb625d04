from __future__ import annotations

import re

import pytest

from dacapo.errors import InputError
from dacapo.launching.pool import seconds


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 60),
        ("90", 5400),
        ("8:00:00", 28800),
        ("5:30", 330),
        ("1-02", 93600),
        ("1-02:30", 95400),
        ("1-02:00:30", 93630),
        ("90s", 90),
    ],
)
def test_a_time_limit_as_sbatch_takes_it(text: str, expected: float) -> None:
    assert seconds(text, 60, 10) == expected


@pytest.mark.parametrize("text", ["soon", "1:2:3:4", "-", "1-", "1.5", "-5", "0", "2"])
def test_a_time_limit_that_is_none(text: str) -> None:
    with pytest.raises(InputError, match=re.escape(f"hydra.launcher.time={text}")):
        seconds(text, 60, 120)


def test_a_limit_leaves_time_for_the_signal() -> None:
    with pytest.raises(InputError, match=r"must be longer than hydra.launcher.signal_delay=120"):
        seconds("2", 60, 120)
