"""The training loop: step, checkpoint, validate, log, stop."""

from __future__ import annotations

import time
from collections.abc import Callable

from dacapo.experiments.run import Run
from dacapo.inference.scoring import validate
from dacapo.runs import NoWriter, RunFolder, RunWriter
from dacapo.training.checkpoints import save
from dacapo.training.loggers import Loggers, open_loggers
from dacapo.training.profiling import profiled
from dacapo.training.signals import Signals
from dacapo.training.steps import Steps
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
    with (
        Signals() as signals,
        open_loggers(run, folder) as loggers,
        profiled(run.trainer.config.profile_steps, writer) as profiler,
        training_progress(f"{run.name}/{run.repetition}", done, run.num_iterations) as progress,
    ):
        steps = Steps(run, done, writer, loggers, progress)
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

            steps.next()
            profiler.step()

            done += 1
            stop = ranks.all_reduce([signals.received is not None])[0] > 0
            # A checkpoint precedes each validation, so that the best weights are always saved.
            if stop or run.validation_due(done) or done % interval == 0:
                steps.finish()
                save(run, folder, writer, done)  # first, as nothing that others show may stop it
                loggers.flush()
            if stop:
                signals.wait()
                progress.say(f"saved at iteration {done}; rerun the same command to resume")
                writer.finish(signals.outcome)
                ranks.wait_for_first()  # submitit requeues its job, and must not be interrupted
                signals.call_previous_handler()


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
