"""The training loop: step, checkpoint, validate, log, stop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from safetensors.torch import save as encode_tensors

from dacapo.errors import InputError
from dacapo.experiments.run import NonFiniteError, Run
from dacapo.experiments.trainers.trainer import Batch
from dacapo.experiments.training_iteration_stats import TrainingIterationStats
from dacapo.inference.scoring import validate
from dacapo.runs import NoWriter, RunFolder, RunWriter
from dacapo.training.checkpoints import save
from dacapo.training.loggers import Loggers, open_loggers
from dacapo.training.profiling import profiled
from dacapo.training.signals import Signals
from dacapo.training.terminal import TrainingProgress, elapsed, score_line, training_progress


def training_loop(
    run: Run,
    folder: RunFolder,
    writer: RunWriter | NoWriter,
    reason_to_prune: Callable[[], str] = lambda: "",
) -> str:
    """Train until all iterations are done or there is a reason to stop.

    Args:
        run: resumed at `run.training_stats.trained_until()`.
        writer: of the run's folder; of several processes the first one writes.
        reason_to_prune: called after each validation; a non-empty reason ends the run.

    Returns:
        Why the run was pruned; empty if it ended otherwise.
    """
    ranks, interval = run.ranks, run.trainer.config.checkpoint_interval
    done = run.training_stats.trained_until()
    batches = run.batches(done)
    with (
        Signals() as signals,
        open_loggers(run, folder) as loggers,
        profiled(run.trainer.config.profile_steps, writer) as profiler,
        training_progress(f"{run.name}/{run.repetition}", done, run.num_iterations) as progress,
    ):
        while True:
            # Validate first: a run may have been killed between its checkpoint and its scores.
            if run.validation_due(done):
                _validate(run, writer, loggers, progress)
                # All processes have to leave the loop in the same iteration.
                if done < run.num_iterations and (why := ranks.broadcast(reason_to_prune)):
                    return why
            if done == run.num_iterations or run.reason_to_stop():
                if signals.received is not None:  # a signal arrived during the last validation
                    signals.call_previous_handler()
                return ""

            stats = _step(run, batches, writer, loggers)
            progress.step(stats)
            profiler.step()

            done += 1
            stop = ranks.all_reduce([signals.received is not None])[0] > 0
            # A checkpoint precedes each validation, so that the best weights are always saved.
            if stop or run.validation_due(done) or done % interval == 0:
                save(run, folder, writer, done)  # first, as nothing that others show may stop it
                loggers.flush()
            if stop:
                signals.wait()
                progress.say(f"saved at iteration {done}; rerun the same command to resume")
                writer.finish(signals.outcome)
                ranks.wait_for_first()  # submitit requeues its job, and must not be interrupted
                signals.call_previous_handler()


def _step(
    run: Run, batches: Iterator[Batch], writer: RunWriter | NoWriter, loggers: Loggers
) -> TrainingIterationStats:
    """Train one step and log it; a batch with a non-finite loss is kept for inspection."""
    begin = time.perf_counter()
    batch = next(batches)
    waited = time.perf_counter() - begin
    try:
        stats = run.train_step(batch)
    except NonFiniteError as error:
        tensors = {k: v.contiguous() for k, v in error.tensors.items()}
        path = writer.add_file("non_finite.safetensors", encode_tensors(tensors))
        raise InputError(f"{error}. Raw, target, weight and prediction: {path}") from error
    stats.time, stats.waited = time.perf_counter() - begin, waited
    run.training_stats.add_iteration_stats(stats)
    writer.add_step(stats)
    loggers.log_step(stats, batch)
    return stats


def _validate(
    run: Run, writer: RunWriter | NoWriter, loggers: Loggers, progress: TrainingProgress
) -> None:
    """Score the current weights; the first process validates, and all receive the scores."""
    begin = time.perf_counter()
    with progress.doing("validating"):
        scores = run.ranks.broadcast(lambda: validate(run))
    run.validation_scores.add_iteration_scores(scores)
    writer.add_scores(scores)
    loggers.log_scores(run.validation_scores)
    line = score_line(run.training_stats, run.validation_scores, run.task.criterion)
    progress.say(f"{line}  (validated in {elapsed(begin)})")
