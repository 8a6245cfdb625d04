"""The history of a run, replayed from its logs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dacapo.experiments.score_table import Best, ScoreHeader, ScoreTable
from dacapo.experiments.training_iteration_stats import TrainingIterationStats
from dacapo.experiments.training_stats import TrainingStats
from dacapo.experiments.validation_iteration_scores import ValidationIterationScores
from dacapo.processes.files import parse, parse_json, reading
from dacapo.runs.log import Damage, Kind, Record, log_files, read_log
from dacapo.runs.owner import Owner

Array = np.ndarray[Any, np.dtype[np.float64]]
STEP_COLUMNS = ("loss", "time", "waited")
_NO_STEPS: Array = np.empty((0, len(STEP_COLUMNS)))
_MAX_GAP = 10**7
"""Number of lost steps, in damaged logs, that are filled with NaN; more are not believed."""


@dataclass(frozen=True)
class Past:
    """What a run has done until it resumes.

    Attributes:
        steps: (steps, 3); see `History.steps`.
        scores: the validations.
        header: names along the axes of the scores; None if there are none.
        is_restored: whether it comes from a checkpoint, because the logs are damaged.
    """

    steps: Array = field(default_factory=lambda: _NO_STEPS)
    scores: list[ValidationIterationScores] = field(default_factory=list)
    header: ScoreHeader | None = None
    is_restored: bool = False

    @property
    def training_stats(self) -> TrainingStats:
        """The statistics of all steps."""
        return TrainingStats(
            [TrainingIterationStats(i, *row) for i, row in enumerate(self.steps.tolist())]
        )


@dataclass(frozen=True)
class StoredScores:
    """The position of one validation's scores in a log; those of many runs exceed memory."""

    iteration: int
    path: Path
    offset: int


class StoredTable:
    """The scores of a run, which stay in its logs until they are asked for.

    Attributes:
        header: names along the scores' axes; None before the first writer.
        validations: the positions of the scores.
    """

    header: ScoreHeader | None
    validations: Sequence[StoredScores]

    @property
    def iterations(self) -> list[int]:
        """The iterations of all validations."""
        return [stored.iteration for stored in self.validations]

    def values(self) -> Array:
        """All scores: (iterations, datasets, parameters, criteria)."""
        assert self.header is not None
        return read_values(self.validations, self.header)

    def table(self) -> ScoreTable | None:
        """All scores with their header; None before the first validation."""
        if self.header is None or not self.validations:
            return None
        return ScoreTable(self.header, self.iterations, self.values())


@dataclass
class History(StoredTable):
    """The content of a run's logs.

    Attributes:
        header: names along the scores' axes; None before the first writer.
        steps: (steps, 3): loss, duration in seconds, and seconds of it spent waiting for data. NaN
            for steps that a damaged log has lost.
        validations: the positions of the scores.
        outcome: how the last writer ended: `status`, cost, `error`; empty if it was killed.
        outcomes: how all writers ended.
        owner: the last writer.
        document: the config of the run, its options and overrides; empty before the first writer.
        damage: what cannot be read; empty once a run has resumed from a checkpoint, which holds
            its history, too.
    """

    header: ScoreHeader | None = None
    steps: Array = field(default_factory=lambda: _NO_STEPS)
    validations: list[StoredScores] = field(default_factory=list)
    outcomes: list[dict[str, Any]] = field(default_factory=list)
    owner: Owner | None = None
    document: dict[str, Any] = field(default_factory=dict)
    damage: list[str] = field(default_factory=list)

    @property
    def outcome(self) -> dict[str, Any]:
        return self.outcomes[-1] if self.outcomes else {}

    @property
    def trained_until(self) -> int:
        return len(self.steps)

    @property
    def training_stats(self) -> TrainingStats:
        """The statistics of all steps."""
        return self.past().training_stats

    @property
    def scores(self) -> list[ValidationIterationScores]:
        """All validations."""
        values = self.values() if self.validations else ()
        return [
            ValidationIterationScores(stored.iteration, value.tolist())
            for stored, value in zip(self.validations, values, strict=True)
        ]

    @property
    def curve(self) -> Sequence[float]:
        """The best mean over the datasets at each validation; NaN if there is none."""
        table = self.table()
        return () if table is None else table.criterion_history().values

    def best(self, criterion: str | None = None) -> Best | None:
        """The best score by a criterion (default: the one that selects); None if there is none."""
        table = self.table()
        return None if table is None else table.best(criterion)

    @property
    def is_done(self) -> bool:
        return self.outcome.get("status") == "done"

    def past(self) -> Past:
        """The steps and the scores."""
        return Past(self.steps, self.scores, self.header)


def read_values(validations: Sequence[StoredScores], header: ScoreHeader) -> Array:
    """Scores from their logs: (iterations, datasets, parameters, criteria)."""
    values = np.empty((len(validations), *header.shape))
    for path in dict.fromkeys(stored.path for stored in validations):
        with reading(path), path.open("rb") as file:
            for index, stored in enumerate(validations):
                if stored.path == path:
                    file.seek(stored.offset)
                    if file.readinto(values[index].data) != values[index].nbytes:
                        raise ValueError("the file has become shorter")
    return values


def read_history(folder: Path) -> History:
    """Replay the logs of a run.

    Raises:
        UnreadableError: a log cannot be read, or not as what it should hold.
    """
    replay = _Replay()
    for path in log_files(folder):
        replay.open(path)
        with reading(path):
            for record in read_log(path):
                replay.add(record)
    return replay.history()


class _Replay:
    """Applies records in order, and drops what a later writer declared void."""

    def __init__(self) -> None:
        self._history = History()
        self._steps: list[Array] = []
        self._count = 0
        self._path, self._num_damaged = Path(), 0
        self._is_mere_claim = False
        self._headers: dict[int, ScoreHeader] = {}
        self._lost = 0

    def open(self, path: Path) -> None:
        self._forget_mere_claim()
        self._path, self._num_damaged = path, len(self._history.damage)
        self._history.owner = None
        self._history.outcomes.append({})
        self._is_mere_claim = True

    def _forget_mere_claim(self) -> None:
        """A process that claimed the run and wrote nothing changes nothing of how it ended."""
        if self._is_mere_claim:
            self._history.outcomes.pop()
            self._is_mere_claim = False

    def add(self, record: Record | Damage) -> None:
        history = self._history
        if isinstance(record, Damage) or record.kind != Kind.owner:
            self._is_mere_claim = False
        if isinstance(record, Damage):
            history.damage.append(str(record))
        elif record.kind == Kind.owner:
            history.owner = parse(Owner, parse_json(record.payload))
        elif record.kind == Kind.document:
            history.document = parse_json(record.payload)
        elif record.kind == Kind.header:
            header = ScoreHeader.decode(bytes(record.payload))
            if history.header is not None and history.header.axes != header.axes:
                history.validations.clear()  # they have other datasets, parameters or criteria
            history.header = self._headers[header.schema] = header
        elif record.kind == Kind.outcome:
            history.outcomes[-1] = _outcome(parse_json(record.payload))
        elif record.kind == Kind.begin:
            self._begin(record.iteration)
        elif record.kind == Kind.step:
            self._add_steps(record)
        elif record.kind == Kind.scores:
            self._add_scores(record)

    def _begin(self, iteration: int) -> None:
        history = self._history
        if iteration < 0:
            raise ValueError(f"a writer begins at iteration {iteration}")
        history.outcomes[-1] = {}
        self._truncate(iteration)
        history.validations = [s for s in history.validations if s.iteration <= iteration]
        if iteration == 0:
            del history.damage[: self._num_damaged]  # nothing that others have written counts
            self._num_damaged = 0

    def _add_steps(self, record: Record) -> None:
        block = np.frombuffer(record.payload, np.float64).reshape(-1, len(STEP_COLUMNS))
        if not len(block):
            return
        gap = record.iteration - self._count
        self._lost += max(0, gap)
        if record.iteration < 0 or self._lost > _MAX_GAP:
            raise ValueError(f"steps {self._count} to {record.iteration} are missing")
        if gap > 0:  # left by a damaged log, or one that is missing
            self._history.damage.append(
                f"{self._path.name}: steps {self._count} to {record.iteration} are missing"
            )
            self._steps.append(np.full((gap, len(STEP_COLUMNS)), np.nan))
        # Steps may come twice: a record whose flush failed may be on the disk nevertheless.
        self._truncate(record.iteration)
        self._steps.append(block)
        self._count = record.iteration + len(block)

    def _add_scores(self, record: Record) -> None:
        history, header = self._history, self._headers.get(record.schema)
        if header is None or history.header is None:
            history.damage.append(
                f"{self._path.name}: the header of the scores at {record.iteration} is lost"
            )
            return
        if history.header.axes != header.axes:
            return
        if record.iteration < 0 or len(record.payload) != 8 * math.prod(header.shape):
            raise ValueError(f"the scores of iteration {record.iteration} do not fit their header")
        at = record.iteration
        history.validations = [s for s in history.validations if s.iteration < at]
        history.validations.append(StoredScores(at, self._path, record.offset))

    def _truncate(self, count: int) -> None:
        if count < self._count:
            self._steps = [self._joined()[:count]]
            self._count = count

    def _joined(self) -> Array:
        return np.concatenate([_NO_STEPS, *self._steps])

    def history(self) -> History:
        self._forget_mere_claim()
        self._history.steps = self._joined()
        return self._history


def _outcome(plain: dict[str, Any]) -> dict[str, Any]:
    """An outcome as its writer noted it; one without a status is refused."""
    if not isinstance(plain.get("status"), str):
        raise ValueError("an outcome without a status")
    return plain


def mean_losses(steps: Array, iterations: Sequence[int]) -> list[float]:
    """The mean loss of the steps since the previous validation, for each; NaN without steps."""
    ends = list(iterations)
    parts = (steps[a:b, 0] for a, b in zip([0, *ends], ends, strict=False))
    return [float(part.mean()) if len(part) else math.nan for part in parts]
