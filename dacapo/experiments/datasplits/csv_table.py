"""Volumes listed in a CSV file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dacapo.config import config
from dacapo.errors import InputError, did_you_mean
from dacapo.experiments.datasplits.files import PARTS, FilesDataSplitConfig, Volumes
from dacapo.experiments.datasplits.volume_config import ARRAY_KEYS, VolumeConfig

if TYPE_CHECKING:
    from dacapo.experiments.datasplits.array_opener import ArrayOpener

_COLUMNS = ("split", "name", *ARRAY_KEYS, "classes", "skeletons", "sample_points",
            "sampling_weight")  # fmt: skip
_PATHS = (*ARRAY_KEYS, "skeletons", "sample_points")


@config("datasplit")
@dataclass(kw_only=True)
class CsvDataSplitConfig(FilesDataSplitConfig):
    """A CSV file with one row per volume and the columns split, raw and gt.

    Further columns: name, mask, weight, classes (a;b), skeletons, sample_points, sampling_weight.
    The split is train, validate or test. Paths are relative to the folder of the file.
    """

    path: str
    """The CSV file."""

    def volumes(self, opener: ArrayOpener) -> Volumes:
        from dacapo.arrays.formats.points import read_rows

        path = Path(self.path)
        rows = read_rows(path, "datasplit.path")
        found: dict[str, dict[str, VolumeConfig]] = {part: {} for part in PARTS}
        for number, row in enumerate(rows, start=2):
            place = f"datasplit.path={self.path}, line {number}"
            part, name, volume = self._row(row, number, path.parent, place)
            if name in found[part]:
                raise InputError(f"{place}: {part} has two volumes called {name}")
            found[part][name] = volume
        for part in PARTS[:2]:
            if not found[part]:
                raise InputError(f"datasplit.path={self.path}: no row has the split {part}")
        return found

    def _row(
        self, row: dict[str, str], number: int, folder: Path, place: str
    ) -> tuple[str, str, VolumeConfig]:
        unknown = [str(c) for c in row if c not in _COLUMNS]
        if unknown:
            raise InputError(
                f"{place}: unknown column {unknown[0]!r}{did_you_mean(unknown[0], _COLUMNS)}\n"
                f"  known are {', '.join(_COLUMNS)}, separated by commas"
            )
        given = {k: v.strip() for k, v in row.items() if v and v.strip()}
        part = given.get("split", "")
        if part not in PARTS:
            raise InputError(f"{place}: split={part!r}; give one of {', '.join(PARTS)}")
        paths: dict[str, Any] = {
            k: v if k in ARRAY_KEYS and v in self.arrays else _below(folder, v)
            for k, v in given.items()
            if k in _PATHS
        }
        try:
            weight = float(given["sampling_weight"]) if "sampling_weight" in given else None
        except ValueError as error:
            raise InputError(f"{place}: sampling_weight: {error}") from error
        classes = given.get("classes")
        volume = VolumeConfig(
            **paths,
            classes=None if classes is None else [c.strip() for c in classes.split(";")],
            sampling_weight=weight,
        )
        return part, given.get("name", f"{part}{number - 1}"), volume


def _below(folder: Path, path: str) -> str:
    """Resolve a path relative to a folder; URLs and absolute paths are kept."""
    return path if "://" in path else str(folder / path)
