"""`python -m dacapo.train`: train what the command line describes, here or as a sweep.

Nothing heavy is imported before a run begins: a typing error is answered at once.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from dacapo.config import conf_dir
from dacapo.errors import InputError, one_line_errors
from dacapo.processes.memory import peak_memory_mib, reset_peak_memory
from dacapo.processes.ranks import Ranks, current_ranks, process_group
from dacapo.sweeps import sweep
from dacapo.sweeps.plan import RunRequest, folder_of, plan_run, refuse

if TYPE_CHECKING:
    from dacapo.experiments.run import Run
    from dacapo.experiments.run_config import RunConfig
    from dacapo.experiments.trainers.trainer import Batch
    from dacapo.experiments.training_iteration_stats import TrainingIterationStats
    from dacapo.experiments.validation_scores import ValidationScores
    from dacapo.runs import NoWriter, RunFolder, RunWriter
    from dacapo.training.loggers import Loggers
    from dacapo.training.terminal import TrainingProgress

    Writer = RunWriter | NoWriter


def main() -> None:
    """Compose the config, run it here or in a sweep; a sweep ends with all runs compared."""
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # `one_line_errors` shortens them, not Hydra
    with one_line_errors():
        if {"--help", "-h"} & set(sys.argv[1:]):
            from dacapo.cli import print_help

            print_help(sys.argv[1:])
            return
        sys.argv[1:] = sorted(sys.argv[1:], key=lambda a: a not in ("-m", "--multirun"))
        with sweep.ends_compared():
            try:
                hydra.main(version_base="1.3", config_path=conf_dir(), config_name="train")(job)()
            except OSError as error:
                if ".hydra" not in str(error.filename):
                    raise
                raise InputError(
                    f"runs_dir: cannot write {error.filename}: {error.strerror}"
                ) from error


def job(cfg: DictConfig) -> float:
    """One run of a sweep, or the only one; returns its best score.

    In a sweep a mistake raises, so that the other jobs go on, and what is finished or is trained
    elsewhere is passed over.
    """
    hydra_config = HydraConfig.get()
    if hydra_config.mode is RunMode.RUN:
        with one_line_errors():
            if any(o.startswith("hydra/launcher=") for o in hydra_config.overrides.hydra):
                raise InputError("hydra/launcher: launchers start the jobs of a sweep, so add -m")
            return _job(cfg, hydra_config, alone=True)
    try:
        if current_ranks().world > 1 and not sweep.is_launched():
            raise InputError(
                "-m: torchrun trains one run; sweep over several processes a run with "
                "hydra/launcher=slurm hydra.launcher.processes="
            )
        return _job(cfg, hydra_config, alone=False)
    except InputError as error:
        # Of the jobs that fail, Hydra tells of the first alone.
        sys.stderr.write(f"error: job {hydra_config.job.num}: {error}\n")
        raise


def _job(cfg: DictConfig, hydra_config: Any, alone: bool) -> float:
    run_config, asked = sweep.read_request(cfg, hydra_config)
    from dacapo.runs import BusyError  # with numpy, which a mistake in the config can do without

    runs_dir = Path(str(cfg.runs_dir))
    folder = folder_of(run_config, runs_dir)
    with process_group() as ranks:
        if not alone:
            sweep.add(folder)
            plan = ranks.broadcast(lambda: plan_run(folder, run_config, asked))
            elsewhere = ("running",) if sweep.is_launched() else ("running", "waiting")
            if plan.action in ("done", "stopped", *elsewhere):
                print(plan.text, flush=True)
                return sweep.value_of(plan.history, run_config)
        try:
            train(run_config, runs_dir, asked)
        except BusyError as error:  # somebody was faster since
            if alone:
                raise
            print(error, flush=True)
        return sweep.value_of(folder.read_history(), run_config)


def train(
    run_config: RunConfig, runs_dir: Path, asked: RunRequest | None = None
) -> ValidationScores:
    """Train, validate and keep everything in `runs_dir/name/repetition`.

    The same call goes on where an earlier one stopped, to the same bits. A finished run returns
    its scores.

    Raises:
        BusyError: another process trains this run.
        InputError: the config does not fit the data, or to what the folder holds; or the run has
            failed twice in the same way, and `asked.retry` is not set.
    """
    from dacapo.runs import NoWriter
    from dacapo.training.terminal import console

    asked = asked or RunRequest()
    folder = folder_of(run_config, runs_dir)
    with process_group() as ranks, ExitStack() as stack:
        console.quiet = not ranks.is_first
        plan = ranks.broadcast(lambda: plan_run(folder, run_config, asked))
        if plan.action == "done":
            return _finished_scores(folder, run_config)
        refuse(plan, folder)
        writers: list[RunWriter] = []
        ranks.broadcast(
            lambda: writers.append(stack.enter_context(folder.writing(asked.document(run_config))))
        )
        writer = writers[0] if writers else NoWriter()
        return _train(run_config, folder, writer, asked, ranks)


def _train(
    run_config: RunConfig, folder: RunFolder, writer: Writer, asked: RunRequest, ranks: Ranks
) -> ValidationScores:
    """Build, resume, loop, and draw; of several processes the first one writes."""
    from dacapo.runs import RunWriter
    from dacapo.training.checkpoints import resume
    from dacapo.training.diagnostics import remarks
    from dacapo.training.loggers import open_loggers
    from dacapo.training.terminal import console, data_line, show_scores

    reset_peak_memory()
    run = ranks.on_all_ranks(lambda: _built(run_config, ranks))
    for line in run.datasplit.shared_context(run.sample_shape.context):
        console.print(line)
    for line in remarks(run) if ranks.is_first else ():
        console.print(line)
    resume(run, folder, writer)
    with open_loggers(run, folder) as loggers:
        pruned = _loop(run, folder, writer, loggers, lambda: _reason_to_prune(run, asked, folder))
    show_scores(run.validation_scores, run.task.criterion)
    if line := data_line(run.training_stats):
        console.print(line)
    if isinstance(writer, RunWriter):
        _draw(run, folder, writer)
    why = pruned or run.reason_to_stop()
    if why:
        console.print(f"{folder.path} is stopped: {why}")
    notes = {"why": why} if why else {}
    writer.finish("stopped" if pruned else "done", **notes, **_cost(run))
    return run.validation_scores


def _built(run_config: RunConfig, ranks: Ranks) -> Run:
    from dacapo.experiments.run import Run
    from dacapo.inference.scoring import check_scorable

    run = Run(run_config, ranks)
    check_scorable(run)
    return run


def _finished_scores(folder: RunFolder, run_config: RunConfig) -> ValidationScores:
    """Say that nothing is left to do, and show the scores again."""
    from dacapo.experiments.run import Run
    from dacapo.training.terminal import console, show_scores

    console.print(f"{folder.path} is finished; a larger num_iterations trains it further")
    run = Run(run_config)
    run.validation_scores.scores = folder.read_history().scores
    show_scores(run.validation_scores, run.task.criterion)
    return run.validation_scores


def _reason_to_prune(run: Run, asked: RunRequest, folder: RunFolder) -> str:
    """Why other runs leave this one no hope; empty when it goes on."""
    if asked.halving is None:
        return ""
    from dacapo.sweeps.asha import reason_to_stop

    runs_dir = folder.path.parent.parent
    return reason_to_stop(asked.halving, run.config, asked.overrides, folder, runs_dir)


def _loop(
    run: Run,
    folder: RunFolder,
    writer: Writer,
    loggers: Loggers,
    pruned: Callable[[], str],
) -> str:
    """Step, checkpoint, validate, until all iterations are done or there is a reason to stop.

    Returns:
        Why other runs leave this one no hope; empty when it ended otherwise.
    """
    from dacapo.training.checkpoints import save
    from dacapo.training.profiling import profiled
    from dacapo.training.signals import Interrupts
    from dacapo.training.terminal import training_progress

    done = run.training_stats.trained_until()
    batches = run.batches(done)
    ranks = run.ranks
    with (
        Interrupts() as interrupts,
        profiled(run.trainer.profile_steps, writer) as profiler,
        training_progress(f"{run.name}/{run.repetition}", done, run.num_iterations) as progress,
    ):
        while True:
            if run.validation_due(done):
                _validate(run, writer, loggers, progress)
                if done < run.num_iterations and (why := ranks.broadcast(pruned)):
                    return why
            if done == run.num_iterations or run.reason_to_stop():
                if interrupts.signal is not None:  # it came during the last validation
                    interrupts.call_previous_handler()
                return ""
            stats = _step(run, batches, writer, loggers)
            progress.step(stats)
            profiler.step()

            done += 1
            stop = ranks.all_reduce([interrupts.signal is not None])[0] > 0
            if stop or run.validation_due(done) or done % run.trainer.checkpoint_interval == 0:
                loggers.flush()
                save(run, folder, writer, done)
            if stop:
                interrupts.wait()
                progress.say(f"saved at iteration {done}; the same command goes on from there")
                writer.finish(interrupts.outcome)
                ranks.wait_for_first()  # it has its job requeued, and must not be hurried
                interrupts.call_previous_handler()


def _step(
    run: Run, batches: Iterator[Batch], writer: Writer, loggers: Loggers
) -> TrainingIterationStats:
    """One step, noted; a batch that gives no number is kept for people to look at."""
    from safetensors.torch import save as encoded

    from dacapo.experiments.run import NotFiniteError

    begin = time.perf_counter()
    batch = next(batches)
    waited = time.perf_counter() - begin
    try:
        stats = run.train_step(batch)
    except NotFiniteError as error:
        tensors = {k: v.contiguous() for k, v in error.tensors.items()}
        path = writer.add_file("not_finite.safetensors", encoded(tensors))
        raise InputError(f"{error}. Raw, target, weight and prediction: {path}") from error
    stats.time, stats.waited = time.perf_counter() - begin, waited
    run.training_stats.add_iteration_stats(stats)
    writer.add_step(stats)
    loggers.step(stats)
    loggers.snapshot(batch)
    return stats


def _validate(run: Run, writer: Writer, loggers: Loggers, progress: TrainingProgress) -> None:
    from dacapo.inference.scoring import validate
    from dacapo.training.terminal import elapsed, score_line

    begin = time.perf_counter()
    scores = run.ranks.broadcast(lambda: validate(run))
    run.validation_scores.add_iteration_scores(scores)
    writer.add_scores(scores)
    loggers.validated(run.validation_scores)
    line = score_line(run.training_stats, run.validation_scores, run.task.criterion)
    progress.say(f"{line}  (validated in {elapsed(begin)})")


def _draw(run: Run, folder: RunFolder, writer: RunWriter) -> None:
    """Pictures of the best segmentation of the first validation dataset, and of the history."""
    from dacapo.figures.pictures import draw_curves, draw_segmentation
    from dacapo.inference.scoring import segment
    from dacapo.runs.checkpoint import CheckpointError
    from dacapo.training.terminal import console

    curves = draw_curves(run.training_stats, run.validation_scores, run.task.criterion)
    console.print(f"curves:  {writer.add_file('curves.png', curves)}")
    best = run.validation_scores.best(run.task.criterion)
    if best is None:
        console.print(f"no picture: {run.task.criterion} could not be computed")
        return
    try:
        run.load_state(folder.read_checkpoint(best.iteration))
    except CheckpointError as error:
        console.print(f"no picture: {error}")
        return
    dataset = run.datasplit.validate[0]
    picture = draw_segmentation(
        dataset,
        run.task.evaluator,
        segment(run, dataset, best.parameters),
        f"{run.name}/{run.repetition}, iteration {best.iteration}: {best.text}",
    )
    console.print(f"picture: {writer.add_file('picture.png', picture)}")


def _cost(run: Run) -> dict[str, Any]:
    """What the run cost: peak memory in MiB (NaN where it cannot be told), weights."""
    return {
        "peak_memory_mib": peak_memory_mib(),
        "num_parameters": sum(p.numel() for p in run.model.parameters()),
    }


if __name__ == "__main__":
    # Under its own name, not as `__main__`, the job can be sent to other processes.
    from dacapo.train import main as _main

    _main()
