"""The steps of a training loop: started, timed, and logged when their results are known."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

import torch
from safetensors.torch import save as encode_tensors

from dacapo.errors import InputError
from dacapo.experiments.run import NonFiniteError, Run
from dacapo.experiments.train_state import StartedStep
from dacapo.experiments.trainers.trainer import Batch
from dacapo.processes.prefetch import Prefetch
from dacapo.runs import NoWriter, RunWriter
from dacapo.training.loggers import Loggers
from dacapo.training.out_of_memory import explained
from dacapo.training.terminal import TrainingProgress

_FIRST = 20
"""Steps before some are timed by themselves; the first ones compile and allocate."""
_EVERY = 2000
"""Steps until some are timed again."""


class Steps:
    """Trains step by step.

    On a GPU, a step is logged when the next one has been started, so that the GPU never waits for
    Python. Now and then some steps are timed while no batch is prepared: threads that prepare
    batches slow steps down by sharing cores and the interpreter's lock, which time spent waiting
    for batches would not show.

    Args:
        done: the first step.
    """

    def __init__(
        self,
        run: Run,
        done: int,
        writer: RunWriter | NoWriter,
        loggers: Loggers,
        progress: TrainingProgress,
    ) -> None:
        self._run, self._writer, self._loggers, self._progress = run, writer, loggers, progress
        self._batches: Iterator[Batch] = run.batches(done)
        self._is_late = run.train_state.decides_on_device and not (
            run.trainer.config.snapshot_interval  # with the weights that the step left
        )
        self._started: tuple[Batch, StartedStep] | None = None
        self._last = 0.0
        self._alone, self._until_timed = math.nan, _FIRST
        self._timed: tuple[float, int] | None = None
        self._num_timed = 0

    def next(self) -> None:
        """Train one step; the statistics of all earlier ones are known."""
        if self._started is None:
            self._last = time.perf_counter()
        self._until_timed -= 1
        if self._until_timed < 0 and isinstance(self._batches, Prefetch):
            self._until_timed = _EVERY
            num = self._batches.settle()
            self._synchronize()
            self._timed, self._num_timed = (time.perf_counter(), num), 0
        batch = next(self._batches)
        try:
            started = explained(self._run, batch.iteration, lambda: self._run.start_step(batch))
        finally:
            self._log()  # also if this step failed, which the one before did not
        self._started = batch, started
        if not self._is_late:
            self._log()
        self._note_timed()

    def _note_timed(self) -> None:
        """Stop the clock when the batches that were ready are used up."""
        if self._timed is None:
            return
        begin, num = self._timed
        self._num_timed += 1
        if self._num_timed == num:
            self._synchronize()
            self._alone = (time.perf_counter() - begin) / num
            self._timed = None

    def _synchronize(self) -> None:
        if self._run.trainer.device.type == "cuda":
            torch.cuda.synchronize(self._run.trainer.device)

    def finish(self) -> None:
        """Wait for the last step, and log it."""
        self._log()
        self._timed = None
        if isinstance(self._batches, Prefetch):
            self._batches.pause()

    def _log(self) -> None:
        """Log the step that was started last; a batch with a non-finite loss is kept for
        inspection."""
        if self._started is None:
            return
        batch, started = self._started
        self._started = None
        try:
            stats = explained(
                self._run, batch.iteration, lambda: self._run.finish_step(batch, started)
            )
        except NonFiniteError as error:
            tensors = {k: v.contiguous() for k, v in error.tensors.items()}
            path = self._writer.add_file("non_finite.safetensors", encode_tensors(tensors))
            raise InputError(f"{error}. Raw, target, weight and prediction: {path}") from error
        now = time.perf_counter()
        stats.time, stats.alone, self._last = now - self._last, self._alone, now
        self._run.training_stats.add_iteration_stats(stats)
        self._writer.add_step(stats)
        self._loggers.log_step(stats, batch)
        self._progress.step(stats)
