"""The history of a run, replayed from its logs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from dacapo.experiments.score_table import Best, ScoreHeader, ScoreTable, merged_header
from dacapo.experiments.training_iteration_stats import TrainingIterationStats
from dacapo.experiments.training_stats import TrainingStats
from dacapo.experiments.validation_iteration_scores import ValidationIterationScores
from dacapo.processes.files import parse, parse_json, reading
from dacapo.runs.log import Damage, Kind, Record, log_files, log_number, read_log
from dacapo.runs.owner import Owner

Array = np.ndarray[Any, np.dtype[np.float64]]
SCORED, NOT_SCORED = "scored", "not scored"
"""How a process ends that was to score a run without training it: this is not the run's end."""
STEP_COLUMNS = ("loss", "time", "alone")
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
    """The position of one validation's scores in a log; those of many runs exceed memory.

    Attributes:
        is_rescored: whether they were added later, without training.
    """

    iteration: int
    path: Path
    offset: int
    header: ScoreHeader
    is_rescored: bool = False


class StoredTable:
    """The scores of a run, which stay in its logs until they are asked for.

    Attributes:
        header: names along the scores' axes; None before the first writer.
        validations: the positions of the scores, in the order of their iterations; there may be
            several of one iteration, with different parameters.
    """

    header: ScoreHeader | None
    validations: Sequence[StoredScores]

    @property
    def iterations(self) -> list[int]:
        """The iterations of all validations."""
        return _iterations(self.validations)

    @property
    def num_candidates(self) -> int:
        """How many iterations and settings were scored, from which the best is chosen."""
        return sum(len(stored.header.parameters) for stored in self.validations)

    def values(self) -> Array:
        """All scores: (iterations, datasets, parameters, criteria)."""
        assert self.header is not None
        return read_values(self.validations, self.header)

    def table(self) -> ScoreTable | None:
        """All scores with their header; None before the first validation."""
        if self.header is None or not self.validations:
            return None
        return ScoreTable(self.header, self.iterations, self.values())

    def header_of(self, best: Best) -> ScoreHeader:
        """The header under which a score was written, whose settings made it."""
        return [
            stored.header for stored in self.validations
            if stored.iteration == best.iteration
            and any(p["label"] == best.label for p in stored.header.parameters)
        ][-1]  # fmt: skip


@dataclass
class History(StoredTable):
    """The content of a run's logs.

    Attributes:
        header: names along the scores' axes; None before the first writer.
        last_header: that of the last process that trained or scored, which has its parameters
            alone.
        training_header: that of the last process that trained.
        steps: (steps, 3): loss, duration in seconds, and seconds of a step by itself, as measured
            last. NaN for steps that a damaged log has lost.
        validations: the positions of the scores that can be compared with the latest.
        others: those of other criteria, volumes or post-processors.
        outcome: how the last writer ended: `status`, cost, `error`; empty if it was killed.
        outcomes: how all writers ended.
        owner: the last writer.
        document: the config of the run, its options and overrides; empty before the first writer.
        damage: what cannot be read; empty once a run has resumed from a checkpoint, which holds
            its history, too.
    """

    header: ScoreHeader | None = None
    last_header: ScoreHeader | None = None
    training_header: ScoreHeader | None = None
    steps: Array = field(default_factory=lambda: _NO_STEPS)
    validations: list[StoredScores] = field(default_factory=list)
    others: list[StoredScores] = field(default_factory=list)
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
        """The validations under the header of the last writer."""
        return [] if self.last_header is None else self.scores_like(self.last_header)

    def scores_like(self, like: ScoreHeader) -> list[ValidationIterationScores]:
        """The validations under a header."""
        found = [s for s in (*self.validations, *self.others) if s.header.is_like(like)]
        values = read_values(found, like) if found else ()
        return [
            ValidationIterationScores(stored.iteration, value.tolist())
            for stored, value in zip(found, values, strict=True)
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

    def scored_otherwise(self, scoring: Mapping[str, Any]) -> str:
        """What to do if a run was not scored with these options (see `TaskConfig.scoring`); empty
        if it was, or not at all."""
        every = [stored.header for stored in (*self.validations, *self.others)]
        known = [header.settings.get("task", {}) for header in every]
        if not known or any(options == scoring for options in known):
            return ""
        keys = [f"task.{k}" for k, v in scoring.items() if known[-1].get(k) != v]
        return f"it was scored with another {', '.join(keys)}: dacapo.validate scores it anew"

    def as_trained(self) -> History:
        """The history without scores that were added later: what training may go by."""
        header = self.training_header
        own = [
            stored for stored in (*self.validations, *self.others)
            if header is not None and not stored.is_rescored and stored.header.is_like(header)
        ]  # fmt: skip
        return replace(self, header=header, last_header=header, validations=own, others=[])

    def past(self, like: ScoreHeader | None = None) -> Past:
        """The steps, and the scores under a header that training has noted (default: that of the
        last process that trained)."""
        header = like or self.training_header
        trained = replace(self, training_header=header).as_trained()
        return Past(self.steps, trained.scores, header)


def read_values(validations: Sequence[StoredScores], header: ScoreHeader) -> Array:
    """Scores from their logs: (iterations, datasets, parameters, criteria); NaN where an iteration
    was not scored with some parameters."""
    rows = {iteration: row for row, iteration in enumerate(_iterations(validations))}
    values = np.full((len(rows), *header.shape), np.nan)
    places = {p["label"]: at for at, p in enumerate(header.parameters)}
    # Later logs come last, because their scores replace those of earlier ones.
    for path in sorted({stored.path for stored in validations}, key=log_number):
        with reading(path), path.open("rb") as file:
            for stored in validations:
                if stored.path == path:
                    found = np.empty(stored.header.shape)
                    file.seek(stored.offset)
                    if file.readinto(found.data) != found.nbytes:
                        raise ValueError("the file has become shorter")
                    at = [places[p["label"]] for p in stored.header.parameters]
                    values[rows[stored.iteration]][:, at] = found
    return values


def _iterations(validations: Sequence[StoredScores]) -> list[int]:
    return list(dict.fromkeys(stored.iteration for stored in validations))


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
        self._scoring: ScoreHeader | None = None
        self._headers: dict[int, ScoreHeader] = {}
        self._scores: list[StoredScores] = []
        self._lost = 0

    def open(self, path: Path) -> None:
        self._forget_mere_claim()
        self._path, self._num_damaged = path, len(self._history.damage)
        self._history.owner = None
        self._history.outcomes.append({})
        self._is_mere_claim = True
        self._scoring = None

    def _forget_mere_claim(self) -> None:
        """A process that claimed the run and wrote nothing changes nothing of how it ended."""
        if self._is_mere_claim:
            self._history.outcomes.pop()
            self._is_mere_claim = False

    def add(self, record: Record | Damage) -> None:
        history = self._history
        if isinstance(record, Damage) or record.kind in (Kind.document, Kind.begin):
            self._is_mere_claim = False
        if isinstance(record, Damage):
            history.damage.append(str(record))
        elif record.kind == Kind.owner:
            history.owner = parse(Owner, parse_json(record.payload))
        elif record.kind == Kind.document:
            # A process that could not build the run does not know what was decided before.
            decided = {k: v for k, v in history.document.items() if k == "compiled"}
            history.document = {**decided, **parse_json(record.payload)}
        elif record.kind == Kind.header:
            header = ScoreHeader.decode(bytes(record.payload))
            self._headers[header.schema] = header
            if self._is_mere_claim:  # it counts if all was scored, see below
                self._scoring = header
            else:
                history.last_header = history.training_header = header
        elif record.kind == Kind.outcome:
            outcome = _outcome(parse_json(record.payload))
            if outcome["status"] == SCORED and self._scoring is not None:
                history.last_header = self._scoring
            elif outcome["status"] not in (SCORED, NOT_SCORED):
                history.outcomes[-1] = outcome
                self._is_mere_claim = False
        elif record.kind == Kind.begin:
            self._begin(record.iteration)
        elif record.kind in (Kind.step, Kind.waited_step):
            self._add_steps(record)
        elif record.kind == Kind.scores:
            self._add_scores(record)

    def _begin(self, iteration: int) -> None:
        history = self._history
        if iteration < 0:
            raise ValueError(f"a writer begins at iteration {iteration}")
        history.outcomes[-1] = {}
        self._truncate(iteration)
        self._scores = [s for s in self._scores if s.iteration <= iteration]
        if iteration == 0:
            del history.damage[: self._num_damaged]  # nothing that others have written counts
            self._num_damaged = 0

    def _add_steps(self, record: Record) -> None:
        block = np.frombuffer(record.payload, np.float64).reshape(-1, len(STEP_COLUMNS))
        if not len(block):
            return
        if record.kind == Kind.waited_step:
            block = np.where(np.array(STEP_COLUMNS) == "alone", np.nan, block)
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
        if header is None:
            history.damage.append(
                f"{self._path.name}: the header of the scores at {record.iteration} is lost"
            )
            return
        if record.iteration < 0 or len(record.payload) != 8 * math.prod(header.shape):
            raise ValueError(f"the scores of iteration {record.iteration} do not fit their header")
        place = record.iteration, self._path, record.offset
        self._scores.append(StoredScores(*place, header, is_rescored=self._is_mere_claim))

    def _truncate(self, count: int) -> None:
        if count < self._count:
            self._steps = [self._joined()[:count]]
            self._count = count

    def _joined(self) -> Array:
        return np.concatenate([_NO_STEPS, *self._steps])

    def history(self) -> History:
        self._forget_mere_claim()
        history = self._history
        history.steps = self._joined()
        headers = {stored.header.schema: stored.header for stored in self._scores}
        if history.last_header is not None:
            history.header = merged_header([*headers.values(), history.last_header])
            # A later score replaces an earlier one with the same place and meaning.
            newest = {
                (s.iteration, repr(s.header.axes), s.header.scoring, s.is_rescored): s
                for s in self._scores
            }
            for stored in sorted(newest.values(), key=lambda s: s.iteration):
                alike = stored.header.scoring == history.header.scoring
                (history.validations if alike else history.others).append(stored)
        return history


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
