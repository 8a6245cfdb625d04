"""Writes the files of one run."""

from __future__ import annotations

import json
import threading
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from dacapo.errors import InputError
from dacapo.experiments.score_table import ScoreHeader
from dacapo.experiments.training_iteration_stats import TrainingIterationStats
from dacapo.experiments.validation_iteration_scores import ValidationIterationScores
from dacapo.runs.atomic import write_atomically
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
    """

    def __init__(self, folder: RunFolder, log: LogWriter) -> None:
        self._folder, self._log = folder, log
        self._schema = 0
        self._shape: tuple[int, ...] | None = None
        self._finished = self._has_stepped = False
        self._steps: list[TrainingIterationStats] = []
        self._lock = threading.Lock()  # two threads write to the log
        self._stop = threading.Event()
        self._error: InputError | None = None
        self._heart = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def describe(self, document: Mapping[str, Any]) -> None:
        """Note the config, so that the log alone describes the run; it is read faster than a
        yaml."""
        self._append(Kind.document, 0, json.dumps(document).encode())

    def begin(self, iteration: int, header: ScoreHeader) -> None:
        """Resume from weights trained until `iteration`; later records are void.

        Args:
            header: header of the scores to come.
        """
        self._schema, self._shape = header.schema, header.shape
        self._append(Kind.header, 0, header.encode())
        self._append(Kind.begin, iteration, b"")
        for later in self._folder.checkpoints():
            if later > iteration:
                self._folder.checkpoint(later).unlink()

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
        values = np.asarray(scores.scores, np.float64)
        assert values.shape == self._shape, (values.shape, self._shape)
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
        path = self._folder.checkpoint(iteration)
        notes = {"iteration": str(iteration), "channels": json.dumps(list(channels))}
        write_checkpoint(path, state, notes)
        stored = self._folder.checkpoints()
        for old in stored[:-latest]:
            if old not in keep:
                self._folder.checkpoint(old).unlink()

    def add_file(self, name: str, content: bytes) -> Path:
        """Write a picture or a report."""
        path = self._folder.path / name
        write_atomically(path, content)
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
        if error is None or isinstance(error, SystemExit | KeyboardInterrupt):
            self.finish("interrupted")
            return
        text = "".join(traceback.format_exception(error))
        write_atomically(self._folder.path / ERROR_FILE, text.encode())
        kind_of = "" if isinstance(error, InputError) else f"{type(error).__name__}: "
        self.finish("failed", error=f"{kind_of}{error}", traceback=text)

    def _append(self, kind: Kind, iteration: int, payload: bytes) -> None:
        self._flush()
        with self._lock:
            self._log.append(Record(kind, self._schema, iteration, payload), durable=True)

    def _flush(self) -> None:
        """Write the buffered steps, or an empty record if there are none.

        Raises:
            BusyError: this process was considered dead, and the run now belongs to another.
        """
        with self._lock:
            if is_lost(self._log.path):
                raise BusyError(f"{self._folder.path} is being trained by another process now")
            rows = [(s.loss, s.time, s.waited) for s in self._steps]
            first = self._steps[0].iteration if self._steps else 0
            payload = np.array(rows, np.float64).tobytes()
            self._log.append(Record(Kind.step, self._schema, first, payload), durable=True)
            self._steps.clear()

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

    def begin(self, iteration: int, header: ScoreHeader) -> None:
        """See `RunWriter`; like all methods of this class, it does nothing."""

    def add_step(self, stats: TrainingIterationStats) -> None: ...

    def add_scores(self, scores: ValidationIterationScores) -> None: ...

    def add_file(self, name: str, content: bytes) -> Path:
        return Path(name)

    def finish(self, status: str, **notes: Any) -> None: ...
