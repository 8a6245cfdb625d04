"""The history of a run, replayed from its logs."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dacapo.experiments.score_table import Best, ScoreHeader, ScoreTable
from dacapo.experiments.training_iteration_stats import TrainingIterationStats
from dacapo.experiments.training_stats import TrainingStats
from dacapo.experiments.validation_iteration_scores import ValidationIterationScores
from dacapo.runs.log import Kind, Record, log_files, read_log
from dacapo.runs.owner import Owner

Array = np.ndarray[Any, np.dtype[np.float64]]
STEP_COLUMNS = ("loss", "time", "waited")


@dataclass(frozen=True)
class StoredScores:
    """The position of one validation's scores in a log; those of many runs exceed memory."""

    iteration: int
    path: Path
    offset: int


@dataclass
class History:
    """The content of a run's logs.

    Attributes:
        header: names along the scores' axes; None before the first writer.
        steps: (steps, 3): loss, duration in seconds, and seconds of it spent waiting for data.
        validations: the positions of the scores.
        outcome: how the last writer ended: `status`, cost, `error`; empty if it was killed.
        outcomes: how all writers ended.
        owner: the last writer.
        document: the config of the run, its options and overrides; empty before the first writer.
    """

    header: ScoreHeader | None = None
    steps: Array = field(default_factory=lambda: np.empty((0, len(STEP_COLUMNS))))
    validations: list[StoredScores] = field(default_factory=list)
    outcomes: list[dict[str, Any]] = field(default_factory=list)
    owner: Owner | None = None
    document: dict[str, Any] = field(default_factory=dict)

    @property
    def outcome(self) -> dict[str, Any]:
        return self.outcomes[-1] if self.outcomes else {}

    @property
    def trained_until(self) -> int:
        return len(self.steps)

    @property
    def training_stats(self) -> TrainingStats:
        """The statistics of all steps."""
        return TrainingStats([TrainingIterationStats(i, *row) for i, row in enumerate(self.steps)])

    @property
    def iterations(self) -> list[int]:
        """The iterations of all validations."""
        return [stored.iteration for stored in self.validations]

    @property
    def scores(self) -> list[ValidationIterationScores]:
        """All validations."""
        values = self.values() if self.validations else ()
        return [
            ValidationIterationScores(stored.iteration, value.tolist())
            for stored, value in zip(self.validations, values, strict=True)
        ]

    def values(self) -> Array:
        """All scores: (iterations, datasets, parameters, criteria)."""
        assert self.header is not None
        values = np.empty((len(self.validations), *self.header.shape))
        for path in dict.fromkeys(stored.path for stored in self.validations):
            with path.open("rb") as file:
                for index, stored in enumerate(self.validations):
                    if stored.path == path:
                        file.seek(stored.offset)
                        file.readinto(values[index].data)
        return values

    def table(self) -> ScoreTable | None:
        """All scores with their header; None before the first validation."""
        if self.header is None or not self.validations:
            return None
        return ScoreTable(self.header, self.iterations, self.values())

    def best(self) -> Best | None:
        """The best score by the criterion that selects; None if there is none."""
        table = self.table()
        return None if table is None else table.best()

    @property
    def is_done(self) -> bool:
        return self.outcome.get("status") == "done"


def read_history(folder: Path) -> History:
    """Replay the logs of a run."""
    replay = _Replay()
    for path in log_files(folder):
        replay.open(path)
        for record in read_log(path):
            replay.add(record)
    return replay.history()


class _Replay:
    """Applies records in order, and drops what a later writer declared void."""

    def __init__(self) -> None:
        self._history = History()
        self._steps: list[Array] = []
        self._count = 0
        self._path = Path()
        self._schema: int | None = None

    def open(self, path: Path) -> None:
        self._path, self._schema = path, None
        self._history.owner = None
        self._history.outcomes.append({})

    def add(self, record: Record) -> None:
        history = self._history
        if record.kind is Kind.owner:
            history.owner = Owner(**json.loads(bytes(record.payload)))
        elif record.kind is Kind.document:
            history.document = json.loads(bytes(record.payload))
        elif record.kind is Kind.header:
            header = ScoreHeader.decode(bytes(record.payload))
            if history.header is not None and history.header.axes != header.axes:
                history.validations.clear()  # they have other datasets, parameters or criteria
            history.header, self._schema = header, zlib.crc32(record.payload)
        elif record.kind is Kind.outcome:
            history.outcomes[-1] = json.loads(bytes(record.payload))
        elif record.schema == self._schema:
            self._replay(record)

    def _replay(self, record: Record) -> None:
        history, at = self._history, record.iteration
        if record.kind is Kind.begin:
            history.outcomes[-1] = {}
            self._truncate(at)
            history.validations = [s for s in history.validations if s.iteration <= at]
        elif record.kind is Kind.step:
            # Steps after a gap, which a damaged log leaves, are ignored: the run resumes before it.
            if at == self._count:
                block = np.frombuffer(record.payload, np.float64).reshape(-1, len(STEP_COLUMNS))
                self._steps.append(block)
                self._count += len(block)
        elif record.kind is Kind.scores:
            history.validations = [s for s in history.validations if s.iteration < at]
            history.validations.append(StoredScores(at, self._path, record.offset))

    def _truncate(self, count: int) -> None:
        if count < self._count:
            self._steps = [self._joined()[:count]]
            self._count = count

    def _joined(self) -> Array:
        return np.concatenate([self._history.steps, *self._steps])

    def history(self) -> History:
        self._history.steps = self._joined()
        return self._history


def mean_losses(steps: Array, iterations: Sequence[int]) -> list[float]:
    """The mean loss of the steps between each validation and the previous one."""
    ends = list(iterations)
    return [float(steps[a:b, 0].mean()) for a, b in zip([0, *ends], ends, strict=False)]
