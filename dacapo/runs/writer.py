"""Writes the files of one run."""

from __future__ import annotations

import json
import sys
import threading
import traceback
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from dacapo.errors import InputError
from dacapo.experiments.score_table import ScoreHeader
from dacapo.experiments.training_iteration_stats import TrainingIterationStats
from dacapo.experiments.validation_iteration_scores import ValidationIterationScores
from dacapo.processes.files import write_atomically
from dacapo.runs.history import NOT_SCORED, SCORED, STEP_COLUMNS, Array, Past
from dacapo.runs.lease import BEAT, BusyError, is_lost
from dacapo.runs.log import Kind, LogWriter, Record

if TYPE_CHECKING:
    from torch import Tensor

    from dacapo.runs.folder import RunFolder

ERROR_FILE = "error.txt"


class RunWriter:
    """Writes the files of one run.

    Steps are buffered and written every `BEAT` seconds, and together with any other record. The log
    grows even without a step, so that others see that this process is alive.

    Every method may raise `BusyError`: this process was considered dead, or the folder was moved or
    deleted, so what is at this place now belongs to another.
    """

    def __init__(self, folder: RunFolder, log: LogWriter) -> None:
        self._folder, self._log = folder, log
        self._header: ScoreHeader | None = None
        self._past: list[Array] = []
        self._keep: set[int] = set()
        self._scores: list[ValidationIterationScores] = []
        self._finished = self._has_stepped = self._only_scores = False
        self._steps: list[TrainingIterationStats] = []
        self._lock = threading.Lock()  # two threads write to the log
        self._stop = threading.Event()
        self._error: InputError | None = None
        self._heart = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def describe(self, document: Mapping[str, Any]) -> None:
        """Note the config, so that the log alone describes the run; it is read faster than a
        yaml."""
        self._append(Kind.document, 0, json.dumps(document).encode())

    def begin(
        self,
        iteration: int,
        header: ScoreHeader,
        past: Past | None = None,
        keep: Collection[int] = (),
    ) -> None:
        """Resume from weights trained until `iteration`; later records are void.

        Later checkpoints, which are damaged, move to the folder `void`.

        Args:
            header: header of the scores to come.
            past: the steps and scores that led to the weights; None: nothing did.
            keep: checkpoints that are never deleted.
        """
        past, self._keep = past or Past(), set(keep)
        self._header = header
        self._past = [past.steps]
        self._scores = list(past.scores)
        self._append(Kind.header, 0, header.encode())
        if past.is_restored:
            self._append(Kind.begin, 0, b"")
            self._append(Kind.step, 0, past.steps.tobytes())
            for scores in past.scores:
                self._write_scores(scores)
        else:
            self._append(Kind.begin, iteration, b"")
        for later in self._folder.checkpoints():
            if later > iteration:
                self._check_owned()
                self._folder.set_aside(self._folder.checkpoint(later))

    def begin_scores(self, header: ScoreHeader) -> None:
        """Add scores of weights that are there, without training: how that ended stays as it was.

        They are those by which the run is judged only when this process has ended without an error.

        Args:
            header: header of the scores to come.
        """
        self._only_scores = True
        self._header = header
        self._append(Kind.header, 0, header.encode())

    def add_step(self, stats: TrainingIterationStats) -> None:
        """Note one step. It may be lost in a kill; those before a checkpoint are flushed with
        it."""
        with self._lock:
            self._steps.append(stats)
        if self._error is not None:
            raise self._error
        if not self._has_stepped:
            self._has_stepped = True
            self._flush()  # the first one is flushed immediately

    def add_scores(self, scores: ValidationIterationScores) -> None:
        """Note one validation."""
        self._write_scores(scores)
        self._scores = [s for s in self._scores if s.iteration < scores.iteration] + [scores]

    def _write_scores(self, scores: ValidationIterationScores) -> None:
        assert self._header is not None
        values = np.asarray(scores.scores, np.float64)
        assert values.shape == self._header.shape, (values.shape, self._header.shape)
        self._append(Kind.scores, scores.iteration, values.tobytes())

    def add_checkpoint(
        self,
        iteration: int,
        state: Mapping[str, Tensor],
        keep: set[int],
        *,
        latest: int = 2,
        channels: Sequence[str] = (),
    ) -> None:
        """Write a checkpoint, then delete all but the latest and those in `keep`.

        Args:
            latest: number of latest checkpoints to keep.
            channels: channel names of the model's head, noted in the file.
        """
        from dacapo.runs.checkpoint import write_checkpoint

        self._flush()
        self._past = [np.concatenate(self._past)[:iteration]]
        past = Past(self._past[0], self._scores, self._header)
        path = self._folder.checkpoint(iteration)
        notes = {"iteration": str(iteration), "channels": json.dumps(list(channels))}
        write_checkpoint(path, state, notes, past, before_rename=self._check_owned)
        stored = self._folder.checkpoints()
        for old in stored[:-latest]:
            if old not in keep | self._keep:
                self._check_owned()
                self._folder.checkpoint(old).unlink(missing_ok=True)

    def add_file(self, name: str, content: bytes) -> Path:
        """Write a picture or a report."""
        path = self._folder.path / name
        write_atomically(path, content, before_rename=self._check_owned)
        return path

    def finish(self, status: str, **notes: Any) -> None:
        """Note how the work ended; see `dacapo.runs.state.ENDS`."""
        self._finished = True
        self._rest()
        self._append(Kind.outcome, 0, json.dumps({"status": status, **notes}).encode())

    def __enter__(self) -> RunWriter:
        self._heart.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._rest()
        if self._finished or isinstance(error, BusyError):
            return  # in the second case the run belongs to another process, and so does its outcome
        try:
            if self._only_scores:
                self.finish(SCORED if error is None else NOT_SCORED)
            elif error is None or isinstance(error, SystemExit | KeyboardInterrupt):
                self.finish("interrupted")
            else:
                self._note_failure(error)
        except InputError as second:
            if error is None:
                raise
            # The disk may be full. That must not hide the error that ended the run.
            sys.stderr.write(f"error: {self._folder.path}: how the run ended is lost: {second}\n")

    def _note_failure(self, error: BaseException) -> None:
        text = "".join(traceback.format_exception(error))
        kind_of = "" if isinstance(error, InputError) else f"{type(error).__name__}: "
        is_refused = isinstance(error, InputError) and self._header is None
        self.finish(
            "refused" if is_refused else "failed", error=f"{kind_of}{error}", traceback=text
        )
        self.add_file(ERROR_FILE, text.encode())

    def _append(self, kind: Kind, iteration: int, payload: bytes) -> None:
        self._flush()
        with self._lock:
            self._log.append(Record(kind, self._schema, iteration, payload), durable=True)

    @property
    def _schema(self) -> int:
        return 0 if self._header is None else self._header.schema

    def _flush(self) -> None:
        """Write the buffered steps, or an empty record if there are none."""
        with self._lock:
            self._check_owned()
            rows = [(s.loss, s.time, s.alone) for s in self._steps]
            first = self._steps[0].iteration if self._steps else 0
            block = np.array(rows, np.float64).reshape(-1, len(STEP_COLUMNS))
            self._log.append(Record(Kind.step, self._schema, first, block.tobytes()), durable=True)
            self._steps.clear()
            self._past.append(block)

    def _check_owned(self) -> None:
        if is_lost(self._log):
            raise BusyError(
                f"{self._folder.path} belongs to another process now, or was moved or deleted"
            )

    def _beat(self) -> None:
        while not self._stop.wait(BEAT):
            try:
                self._flush()
            except BusyError as error:
                self._error = error  # the next step raises this error
                return
            except InputError:
                continue  # the disk may recover; writing that must succeed raises the error itself

    def _rest(self) -> None:
        self._stop.set()
        if self._heart.is_alive():
            self._heart.join()


class NoWriter:
    """The writer of all processes but the first, if several train one run: it does nothing."""

    def begin(
        self,
        iteration: int,
        header: ScoreHeader,
        past: Past | None = None,
        keep: Collection[int] = (),
    ) -> None:
        """See `RunWriter`; like all methods of this class, it does nothing."""

    def add_step(self, stats: TrainingIterationStats) -> None: ...

    def add_scores(self, scores: ValidationIterationScores) -> None: ...

    def add_file(self, name: str, content: bytes) -> Path:
        return Path(name)

    def finish(self, status: str, **notes: Any) -> None: ...
