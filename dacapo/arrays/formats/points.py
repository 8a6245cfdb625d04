"""Points in a CSV file with one column per axis."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dacapo.arrays.units import scale_of
from dacapo.errors import InputError
from dacapo.processes.files import missing_file


def read_points(
    path: Path, axes: Sequence[str], unit: str, key: str
) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    """(N, axes) in world units.

    Args:
        axes: the names of the columns.
        unit: the unit of the numbers.
        key: the config key that holds `path`, for messages.
    """
    axes = [a.lstrip("-") for a in axes]
    rows = read_rows(path, key)
    try:
        points = np.array([[float(row[axis]) for axis in axes] for row in rows])
    except KeyError as error:
        raise InputError(
            f"{key}={path}: no column {error}; the columns {', '.join(axes)} are required"
        ) from None
    except (ValueError, TypeError) as error:
        raise InputError(f"{key}={path}: {error}") from error
    if not len(points) or not np.isfinite(points).all():
        raise InputError(f"{key}={path}: at least one of its {len(points)} points is not finite")
    world: np.ndarray[tuple[int, int], np.dtype[np.int64]] = np.rint(
        points * scale_of(unit, key)
    ).astype(np.int64)
    return world


def read_rows(path: Path, key: str) -> list[dict[str, str]]:
    """The rows of a CSV file, column -> cell.

    Args:
        key: the config key that holds `path`, for messages.
    """
    if not path.is_file():
        raise InputError(f"{key}={path}: {missing_file(path)}")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return list(csv.DictReader(file))
    except UnicodeDecodeError as error:
        raise InputError(
            f"{key}={path} is not UTF-8 text: {error.reason} at byte {error.start}"
        ) from error
    except (OSError, csv.Error) as error:
        raise InputError(f"{key}={path}: {error}") from error
