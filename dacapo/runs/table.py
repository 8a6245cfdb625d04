"""A csv file that grows row by row."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Sequence
from pathlib import Path

from dacapo.runs.atomic import write_atomically

_PAUSE = 5.0
"""Seconds for which rows may be buffered."""


class Table:
    """Rows whose first column is an iteration, for spreadsheets and scripts.

    Args:
        begin: rows of this and later iterations, left by an earlier process, are removed.
    """

    def __init__(self, path: Path, columns: Sequence[str], begin: int) -> None:
        kept = [list(columns)]
        if path.exists():
            with path.open(newline="") as file:
                header, *rows = list(csv.reader(file)) or [[]]
            if header == list(columns):
                whole = [r for r in rows if len(r) == len(header) and r[0].isdecimal()]
                kept += [r for r in whole if int(r[0]) < begin]
        write_atomically(path, _encoded(kept).encode())
        self._path = path
        self._rows: list[Sequence[object]] = []
        self._written = time.monotonic()

    def add(self, *row: object) -> None:
        """Add a row."""
        self._rows.append(row)
        if time.monotonic() - self._written > _PAUSE:
            self.flush()

    def flush(self) -> None:
        """Write the buffered rows."""
        with self._path.open("a", newline="") as file:
            file.write(_encoded(self._rows))
        self._rows.clear()
        self._written = time.monotonic()


def _encoded(rows: Sequence[Sequence[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
