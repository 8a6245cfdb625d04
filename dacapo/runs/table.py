"""A csv file that grows row by row, for people: what is wrong with it never ends a run."""

from __future__ import annotations

import csv
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from dacapo.errors import warn
from dacapo.processes.files import temporary_name

_ITERATION = re.compile(r"\d{1,18}", re.ASCII)
_PAUSE = 5.0
"""Seconds for which rows may be buffered."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet takes a text that begins so for a formula."""


class Table:
    """Rows whose first column is an iteration, for spreadsheets and scripts.

    The file stays open, so that a process whose run has become another's does not write into the
    other's file of the same name. If the file cannot be written, a warning says so once.

    Args:
        begin: rows of this and later iterations, left by an earlier process, are removed.
    """

    def __init__(self, path: Path, columns: Sequence[str], begin: int) -> None:
        self._path = path
        self._rows: list[Sequence[object]] = []
        self._written = time.monotonic()
        self._file: IO[str] | None = None
        temporary = temporary_name(path)
        try:
            self._file = temporary.open("w", newline="")
            csv.writer(self._file, lineterminator="\n").writerow(columns)
            self._copy(columns, begin)
            self._file.flush()
            temporary.replace(path)
        except OSError as error:
            self._give_up(error)
            temporary.unlink(missing_ok=True)

    def _copy(self, columns: Sequence[str], begin: int) -> None:
        """Copy the rows of an earlier process line by line, as they may be millions."""
        assert self._file is not None
        writer = csv.writer(self._file, lineterminator="\n")
        if not self._path.is_file():
            return
        with self._path.open(newline="", errors="replace") as file:
            rows = csv.reader(file)
            try:
                if next(rows, None) != list(columns):
                    return
                for row in rows:
                    is_row = len(row) == len(columns) and _ITERATION.fullmatch(row[0])
                    if is_row and int(row[0]) < begin:
                        writer.writerow(row)
            except csv.Error as error:
                warn(f"{self._path}: rows were lost: {error}")

    def add(self, *row: object) -> None:
        """Add a row."""
        self._rows.append([_plain(value) for value in row])
        if time.monotonic() - self._written > _PAUSE:
            self.flush()

    def flush(self) -> None:
        """Write the buffered rows."""
        if self._file is not None:
            try:
                csv.writer(self._file, lineterminator="\n").writerows(self._rows)
                self._file.flush()
            except OSError as error:
                self._give_up(error)
        self._rows.clear()
        self._written = time.monotonic()

    def close(self) -> None:
        """Write the buffered rows and close the file."""
        self.flush()
        if self._file is not None:
            self._file.close()

    def _give_up(self, error: OSError) -> None:
        """Stop writing; the run's log has the same numbers."""
        warn(f"{self._path} is no longer written: {error.strerror}")
        file, self._file = self._file, None
        if file is not None:
            try:
                file.close()
            except OSError:  # its buffer still holds what could not be written
                return


def _plain(value: object) -> object:
    """A value that a spreadsheet does not take for a formula; a number may be negative."""
    if not isinstance(value, str) or not value.startswith(_FORMULA):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value
