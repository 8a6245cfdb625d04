"""Each mistake of the table has one clear answer, soon, and leaves nothing behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mistakes import Mistake, answer, make_data, read_table


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    make_data(folder)
    return folder


@pytest.mark.parametrize("mistake", read_table(), ids=lambda m: m.command)
def test_mistakes(mistake: Mistake, data: Path) -> None:
    got, left, printed = answer(mistake.command, data)
    assert got == mistake, printed
    assert "Traceback" not in printed
    if mistake.status:
        assert left == []
