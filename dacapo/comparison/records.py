"""All runs below a folder; what has not changed since last time comes from a cache.

The cache is a file of the user's own, as the folder of the runs may be another's or read-only. A
run is read again when the size, time or inode of one of its files has changed.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from dacapo import __version__
from dacapo.comparison.run_record import COSTS, RunRecord, read_record
from dacapo.errors import InputError, printable
from dacapo.experiments.score_table import Best, ScoreHeader
from dacapo.processes.files import read_regular, write_atomically
from dacapo.runs import RunFolder, Submission, UnreadableError, find_run_folders
from dacapo.runs.history import StoredScores
from dacapo.runs.log import log_number, log_path
from dacapo.runs.owner import Owner
from dacapo.runs.writer import ERROR_FILE

_KINDS = (RunRecord, ScoreHeader, Best, StoredScores, Owner, Submission)
_VERSION = f"3 {__version__} {[[f.name for f in fields(kind)] for kind in _KINDS]} {COSTS}"
_NOT_CACHED = ("folder", "header", "validations", "owner", "submission", "best")


@dataclass(frozen=True)
class Unreadable:
    """A run whose folder cannot be read, and why."""

    label: str
    error: str


def read_records(runs_dir: Path) -> tuple[list[RunRecord], list[Unreadable]]:
    """All runs below a folder, by name and repetition; and those that cannot be read.

    Runs that are deleted or moved meanwhile are left out.

    Raises:
        InputError: there are no runs.
    """
    cache = _Cache(runs_dir)
    records, unreadable = [], []
    for folder in find_run_folders(runs_dir):
        try:
            records.append(cache.read(folder))
        except UnreadableError as error:
            unreadable.append(Unreadable(folder.label, printable(str(error))))
        except OSError as error:
            is_gone = isinstance(error, FileNotFoundError) and not os.path.exists(folder.path)
            if not is_gone:
                text = f"cannot read {error.filename}: {error.strerror}"
                unreadable.append(Unreadable(folder.label, printable(text)))
    if not records and not unreadable:
        above = runs_dir.absolute().parent
        is_within = any(
            folder.path.parent == runs_dir.absolute() for folder in find_run_folders(above)
        )
        hint = f"; it is one of the runs below runs_dir={runs_dir.parent}" if is_within else ""
        raise InputError(f"runs_dir={runs_dir}: the folder holds no runs{hint}")
    cache.write()
    return records, unreadable


def cache_file(runs_dir: Path) -> Path | None:
    """The cache of a folder of runs, in the user's cache directory; None if there is none."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    if not os.path.isabs(home):
        return None
    name = hashlib.sha256(str(runs_dir.resolve()).encode()).hexdigest()[:16]
    return Path(home) / "dacapo" / f"runs-{name}.json"


class _Cache:
    def __init__(self, runs_dir: Path) -> None:
        self._path = cache_file(runs_dir)
        self._old: Mapping[str, Any] = {}
        self._headers: dict[str, ScoreHeader] = {}
        self._runs: dict[str, Any] = {}
        self._has_changed = False
        if self._path is not None and (content := _load(self._path)):
            self._old = content["runs"]
            self._headers = {k: ScoreHeader(**v) for k, v in content["headers"].items()}

    def read(self, folder: RunFolder) -> RunRecord:
        """One run, from the cache or from its folder."""
        signature = _signature(folder)
        known = self._old.get(folder.label)
        if known is not None and known["signature"] == signature:
            self._runs[folder.label] = known
            return _decode(folder, known, self._headers)
        record = read_record(folder)
        self._runs[folder.label] = {"signature": signature, **self._encode(record)}
        self._has_changed = True
        return record

    def _encode(self, record: RunRecord) -> dict[str, Any]:
        plain = {
            f.name: getattr(record, f.name) for f in fields(record) if f.name not in _NOT_CACHED
        }
        return {
            **plain,
            "header": self._number(record.header),
            "error_file": bool(record.error_file),
            "validations": [self._position(stored) for stored in record.validations],
            "owner": None if record.owner is None else asdict(record.owner),
            "submission": None if record.submission is None else asdict(record.submission),
            "best": None if record.best is None else asdict(record.best),
        }

    def _number(self, header: ScoreHeader | None) -> str:
        if header is None:
            return ""
        schema = f"{header.schema:08x}"
        self._headers[schema] = header
        return schema

    def _position(self, stored: StoredScores) -> tuple[int, int, int, str]:
        log = log_number(stored.path)
        return stored.iteration, log, stored.offset, self._number(stored.header)

    def write(self) -> None:
        """Keep what was read for the next time."""
        if self._path is None or not (self._has_changed or len(self._runs) != len(self._old)):
            return
        used = {run["header"] for run in self._runs.values()}
        used |= {schema for run in self._runs.values() for *_, schema in run["validations"]}
        headers = {k: asdict(v) for k, v in self._headers.items() if k in used}
        text = json.dumps({"version": _VERSION, "headers": headers, "runs": self._runs}).encode()
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_atomically(self._path, f"{zlib.crc32(text):08x}\n".encode() + text)
        except (OSError, InputError):  # then the runs are read again next time
            return


def _load(path: Path) -> dict[str, Any] | None:
    """The content of a cache; None if it is missing, damaged or of another version."""
    try:
        checksum, _, text = read_regular(path).partition(b"\n")
    except (OSError, ValueError):
        return None
    if checksum != f"{zlib.crc32(text):08x}".encode():
        return None
    content = json.loads(text)
    return content if content["version"] == _VERSION else None


def _signature(folder: RunFolder) -> list[Any]:
    """What changes whenever one of the files changes from which a run is read."""
    found: list[Any] = []
    with os.scandir(folder.path) as entries:
        for entry in entries:
            if entry.name in ("config.yaml", "job.json") or log_number(entry.name):
                stat = entry.stat()
                found.append([entry.name, stat.st_size, stat.st_mtime_ns, stat.st_ino])
            elif entry.name == ERROR_FILE:
                found.append([entry.name])
    return sorted(found)


def _decode(
    folder: RunFolder, plain: Mapping[str, Any], headers: Mapping[str, ScoreHeader]
) -> RunRecord:
    known = {k: v for k, v in plain.items() if k != "signature"}
    submission, validations = plain["submission"], plain["validations"]
    if submission is not None:
        submission = Submission(**{**submission, "launcher": Owner(**submission["launcher"])})
    return RunRecord(
        **{
            **known,
            "folder": folder,
            "error_file": str(folder.path / ERROR_FILE) if plain["error_file"] else "",
            "header": headers.get(plain["header"]),
            "validations": _stored(folder, validations, headers),
            "owner": None if plain["owner"] is None else Owner(**plain["owner"]),
            "submission": submission,
            "best": None if plain["best"] is None else Best(**plain["best"]),
        }
    )


def _stored(
    folder: RunFolder,
    validations: Sequence[tuple[int, int, int, str]],
    headers: Mapping[str, ScoreHeader],
) -> list[StoredScores]:
    paths = {log: log_path(folder.path, log) for _, log, _, _ in validations}
    return [
        StoredScores(iteration, paths[log], at, headers[schema])
        for iteration, log, at, schema in validations
    ]
