"""A run's folder: config, log, checkpoints, picture."""

from __future__ import annotations

import json
import os
import socket
import struct
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from dacapo.errors import InputError
from dacapo.experiments.training_iteration_stats import TrainingIterationStats
from dacapo.experiments.training_stats import TrainingStats
from dacapo.experiments.validation_iteration_scores import ValidationIterationScores
from dacapo.experiments.validation_scores import select_best
from dacapo.store.atomic import write_atomically
from dacapo.store.header import Header
from dacapo.store.lock import is_locked, locked
from dacapo.store.log import Kind, LogWriter, Record, log_files, read_log

if TYPE_CHECKING:
    from torch import Tensor

_STEP = struct.Struct("<3d")  # loss, time, waited


@dataclass
class History:
    """What a run's logs hold.

    Attributes:
        header: names along the scores' axes; None before the first writer.
        training_stats: of all steps.
        scores: of all validations.
        outcome: how the last writer ended: `status`, `cost`, `error`; empty when it was killed.
    """

    header: Header | None = None
    training_stats: TrainingStats = field(default_factory=TrainingStats)
    scores: list[ValidationIterationScores] = field(default_factory=list)
    outcome: dict[str, Any] = field(default_factory=dict)

    def values(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """All scores: (iterations, datasets, parameters, criteria)."""
        assert self.header is not None
        scores = np.array([s.scores for s in self.scores], np.float64)
        return scores.reshape(len(self.scores), *self.header.shape)

    def best(self) -> tuple[int, int, float] | None:
        """Indices of iteration and parameters with the best score by the run's own criterion."""
        if self.header is None or not self.scores:
            return None
        at = [c["name"] for c in self.header.criteria].index(self.header.selected_by)
        return select_best(
            self.values()[..., at], bool(self.header.criteria[at]["higher_is_better"])
        )

    @property
    def is_done(self) -> bool:
        return self.outcome.get("status") == "done"


class RunFolder:
    """`runs_dir/name/repetition`: to read from; `writing` gives what may write."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints_dir = path / "checkpoints"

    def read_document(self) -> dict[str, Any]:
        """What `writing` was given: the config of the run and how it was asked for."""
        document = yaml.safe_load((self.path / "config.yaml").read_text())
        assert isinstance(document, dict)
        return document

    def read_history(self) -> History:
        """Replay the logs."""
        history = History()
        for path in log_files(self.path):
            header, history.outcome = None, {}
            for record in read_log(path):
                if record.kind is Kind.header:
                    header = Header.decode(record.payload)
                    if history.header is not None and history.header.axes != header.axes:
                        history.scores.clear()  # of other datasets, parameters or criteria
                    history.header, history.outcome = header, {}
                elif record.kind is Kind.outcome:
                    history.outcome = json.loads(record.payload)
                elif header is not None and record.schema == header.schema:
                    _replay(history, header, record)
        return history

    def checkpoints(self) -> list[int]:
        """The iterations that the weights of the checkpoints were trained until."""
        return sorted(int(p.stem) for p in self.checkpoints_dir.glob("[0-9]*.safetensors"))

    def read_checkpoint(self, iteration: int) -> dict[str, Tensor]:
        """The tensors of a checkpoint.

        Raises:
            CheckpointError: the file is not as it was written.
        """
        from dacapo.store.checkpoint import CheckpointError, read_checkpoint

        path = self._checkpoint(iteration)
        tensors, notes = read_checkpoint(path)
        if notes.get("iteration") != str(iteration):
            raise CheckpointError(f"{path}: holds iteration {notes.get('iteration')}")
        return tensors

    def read_weights_of(self, run: str, iteration: int | None) -> dict[str, Tensor]:
        """The weights of another run below the same `runs_dir`.

        Args:
            run: name/repetition.
            iteration: that the weights were trained until; None: the best by its criterion.
        """
        other = RunFolder(self.path.parent.parent / run)
        stored = other.checkpoints()
        if iteration is None:
            history = other.read_history()
            best = history.best()
            iteration = None if best is None else history.scores[best[0]].iteration
        if iteration not in stored:
            raise InputError(
                f"start: {other.path} has no checkpoint of iteration {iteration}; it has "
                f"{', '.join(map(str, stored)) or 'none'}"
            )
        from dacapo.store.checkpoint import CheckpointError

        try:
            tensors = other.read_checkpoint(iteration)
        except CheckpointError as error:
            raise InputError(f"start: {error}") from error
        return {k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")}

    def is_running(self) -> bool:
        """Whether a process trains this run now."""
        return is_locked(self.path)

    @contextmanager
    def writing(self, document: Mapping[str, Any]) -> Iterator[RunWriter]:
        """Hold the folder and write to it; notes how it ended.

        Args:
            document: `config`, `identity` and more, as plain data.

        Raises:
            InputError: another process holds it, or it belongs to a run of another config.
        """
        self.check_identity(document)
        try:
            self.checkpoints_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"runs_dir: cannot write {self.path}: {error.strerror}") from error
        with locked(self.path):
            for leftover in [*self.path.glob(".*.tmp"), *self.checkpoints_dir.glob(".*.tmp")]:
                leftover.unlink()
            write_atomically(
                self.path / "config.yaml",
                yaml.safe_dump(dict(document), sort_keys=False).encode(),
            )
            with LogWriter(self.path) as log:
                writer = RunWriter(self, log)
                with writer:
                    yield writer

    def check_identity(self, document: Mapping[str, Any]) -> None:
        """Two configs under one name are an error; siblings differ in their repetition alone."""
        for other in self.path.parent.glob("*/config.yaml"):
            theirs = yaml.safe_load(other.read_text())["identity"]
            differ = list(_differences(theirs, document["identity"]))
            # A run that failed before its first step holds nothing that a new one could spoil.
            if differ and RunFolder(other.parent).read_history().training_stats.iteration_stats:
                key, old, new = differ[0]
                hint = (
                    f" To train it further, give trainer.schedule_iterations={old}."
                    if key == "trainer.schedule_iterations"
                    else ""
                )
                raise InputError(
                    f"{other.parent} holds a run of another config: {key} is {old} there and "
                    f"{new} here ({len(differ)} differences).{hint} Choose another name="
                )

    def _checkpoint(self, iteration: int) -> Path:
        return self.checkpoints_dir / f"{iteration:08d}.safetensors"


class RunWriter:
    """Writes the files of one run."""

    def __init__(self, folder: RunFolder, log: LogWriter) -> None:
        self._folder, self._log = folder, log
        self._header: Header | None = None
        self._finished = False

    def begin(self, iteration: int, header: Header) -> None:
        """Go on from weights trained until `iteration`; what lies beyond is void.

        Args:
            header: of the scores to come.
        """
        self._header = header
        self._append(Kind.header, 0, header.encode(), durable=True)
        self._append(Kind.begin, iteration, b"", durable=True)
        for later in self._folder.checkpoints():
            if later > iteration:
                self._folder._checkpoint(later).unlink()

    def add_step(self, stats: TrainingIterationStats) -> None:
        """Note one step; it need not survive a power loss: a checkpoint's are made sure of."""
        payload = _STEP.pack(stats.loss, stats.time, stats.waited)
        self._append(Kind.step, stats.iteration, payload, durable=False)

    def add_scores(self, scores: ValidationIterationScores) -> None:
        """Note one validation."""
        values = np.asarray(scores.scores, np.float64)
        assert self._header is not None
        assert values.shape == self._header.shape, (values.shape, self._header.shape)
        self._append(Kind.scores, scores.iteration, values.tobytes(), durable=True)

    def add_checkpoint(self, iteration: int, state: Mapping[str, Tensor], keep: set[int]) -> None:
        """Write a checkpoint; afterwards the latest two and those in `keep` remain."""
        from dacapo.store.checkpoint import write_checkpoint

        self._log.sync()
        path = self._folder._checkpoint(iteration)
        write_checkpoint(path, state, {"iteration": str(iteration)})
        stored = self._folder.checkpoints()
        for old in stored[:-2]:
            if old not in keep:
                self._folder._checkpoint(old).unlink()

    def add_picture(self, name: str, content: bytes) -> Path:
        """Write a picture."""
        path = self._folder.path / name
        write_atomically(path, content)
        return path

    def finish(self, status: str, **notes: Any) -> None:
        """Note how it ended: `done`, `failed` or `interrupted`."""
        outcome = {"status": status, "host": socket.gethostname(), "pid": os.getpid(), **notes}
        self._finished = True
        self._append(Kind.outcome, 0, json.dumps(outcome).encode(), durable=True)

    def __enter__(self) -> RunWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None or self._finished:
            return
        if isinstance(error, SystemExit | KeyboardInterrupt):
            self.finish("interrupted")
        else:
            text = "".join(traceback.format_exception(error))
            self.finish("failed", error=f"{type(error).__name__}: {error}", traceback=text)

    def _append(self, kind: Kind, iteration: int, payload: bytes, durable: bool) -> None:
        schema = 0 if self._header is None else self._header.schema
        self._log.append(Record(kind, schema, iteration, payload), durable)


def find_run_folders(runs_dir: Path) -> list[RunFolder]:
    """All runs below a folder, by name and repetition."""
    found = [RunFolder(p.parent) for p in runs_dir.glob("*/*/config.yaml")]
    return sorted(found, key=lambda f: (f.path.parent.name, f.path.name.zfill(9)))


def _replay(history: History, header: Header, record: Record) -> None:
    at = record.iteration
    if record.kind is Kind.begin:
        history.training_stats.delete_after(at)
        history.scores = [s for s in history.scores if s.iteration <= at]
    elif record.kind is Kind.step:
        # After a gap, which a damaged log leaves, no step counts: the run goes on before the gap.
        if at == history.training_stats.trained_until():
            stats = TrainingIterationStats(at, *_STEP.unpack(record.payload))
            history.training_stats.add_iteration_stats(stats)
    elif record.kind is Kind.scores:
        values = np.frombuffer(record.payload, np.float64).reshape(header.shape)
        history.scores = [s for s in history.scores if s.iteration < at]
        history.scores.append(ValidationIterationScores(at, values.tolist()))


def _differences(old: Any, new: Any, key: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Where two nested dicts differ: (dotted key, old, new)."""
    if isinstance(old, dict) and isinstance(new, dict):
        for part in sorted(old.keys() | new.keys()):
            inner = f"{key}.{part}" if key else part
            yield from _differences(old.get(part), new.get(part), inner)
    elif old != new:
        yield key, old, new
