"""`python -m dacapo.train`: train what the command line describes, here or as a sweep.

Nothing heavy is imported before a run begins: a typing error is answered at once.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig

from dacapo import __version__
from dacapo.config import conf_dir, encode
from dacapo.errors import InputError, one_line_errors
from dacapo.experiments.run_config import RunConfig
from dacapo.memory import peak_memory_mib, reset_peak_memory

if TYPE_CHECKING:
    from dacapo.experiments.run import Run
    from dacapo.experiments.validation_scores import ValidationScores
    from dacapo.report import TrainingProgress
    from dacapo.store import History, RunFolder, RunWriter


def main() -> None:
    """Compose the config, run it here or in a sweep; a sweep ends with all runs compared."""
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # `one_line_errors` shortens them, not Hydra
    with one_line_errors():
        if {"--help", "-h"} & set(sys.argv[1:]):
            from dacapo.help import print_help

            print_help(sys.argv[1:])
            return
        sys.argv[1:] = sorted(sys.argv[1:], key=lambda a: a not in ("-m", "--multirun"))
        try:
            hydra.main(version_base="1.3", config_path=conf_dir(), config_name="train")(job)()
        except OSError as error:
            if ".hydra" not in str(error.filename):
                raise
            raise InputError(
                f"runs_dir: cannot write {error.filename}: {error.strerror}"
            ) from error
        finally:
            if SweepStart.runs_dir is not None:
                _compare_sweep(Path(SweepStart.runs_dir))


def _compare_sweep(runs_dir: Path) -> None:
    """All runs beside each other, if a job of the sweep came so far as to have a folder."""
    from dacapo.compare import compare
    from dacapo.store import find_run_folders

    if find_run_folders(runs_dir):
        compare(runs_dir)


class SweepStart(Callback):
    """Remembers in the process that started a sweep where its runs will lie."""

    runs_dir: str | None = None

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        SweepStart.runs_dir = str(config.runs_dir)


def job(cfg: DictConfig) -> float:
    """One run of a sweep, or the only one; returns its best score.

    In a sweep a mistake raises, so that the other jobs go on.
    """
    hydra_config = HydraConfig.get()
    alone = hydra_config.mode is RunMode.RUN
    if alone:
        with one_line_errors():
            return _job(cfg, hydra_config)
    try:
        return _job(cfg, hydra_config)
    except InputError as error:
        # Of the jobs that fail, Hydra tells of the first alone.
        sys.stderr.write(f"error: job {hydra_config.job.num}: {error}\n")
        raise


def _job(cfg: DictConfig, hydra_config: Any) -> float:
    chosen = {str(k): v for k, v in hydra_config.runtime.choices.items() if v is not None}
    choices = {k: str(v) for k, v in chosen.items() if not k.startswith("hydra")}
    run_config = RunConfig.from_hydra(cfg, choices)
    asked = Asked(choices, [str(o) for o in hydra_config.overrides.task])
    scores = train(run_config, Path(str(cfg.runs_dir)), asked)
    best = scores.best(run_config.task_config.criterion)
    if best is not None:
        return best.value
    higher = scores.evaluation_scores.higher_is_better(run_config.task_config.criterion)
    return -sys.float_info.max if higher else sys.float_info.max


@dataclass(frozen=True)
class Asked:
    """How a run was asked for: group -> option, and the overrides as typed."""

    choices: dict[str, str] = field(default_factory=dict)
    overrides: list[str] = field(default_factory=list)


def train(run_config: RunConfig, runs_dir: Path, asked: Asked | None = None) -> ValidationScores:
    """Train, validate and keep everything in `runs_dir/name/repetition`.

    The same call goes on where an earlier one stopped, to the same bits. A finished run returns
    its scores.
    """
    from dacapo.store import RunFolder

    asked = asked or Asked()
    folder = RunFolder(runs_dir / run_config.name / str(run_config.repetition))
    document = {
        "dacapo": __version__,
        "config": encode(run_config),
        "identity": run_config.identity(),
        "choices": asked.choices,
        "overrides": asked.overrides,
    }
    folder.check_identity(document)
    if _is_finished(folder.read_history(), run_config):
        return _finished_scores(folder, run_config)
    with folder.writing(document) as writer:
        from dacapo.experiments.run import Run
        from dacapo.report import console, show_scores
        from dacapo.validate import check_scorable

        reset_peak_memory()
        run = Run(run_config)
        check_scorable(run)
        for line in run.datasplit.shared_context(run.sample_shape.context):
            console.print(line)
        _resume(run, folder, writer)
        _loop(run, writer)
        show_scores(run.validation_scores, run.task.criterion)
        _draw(run, folder, writer)
        writer.finish("done", **_cost(run))
    return run.validation_scores


def _is_finished(history: History, run_config: RunConfig) -> bool:
    return history.is_done and history.training_stats.trained_until() >= run_config.num_iterations


def _finished_scores(folder: RunFolder, run_config: RunConfig) -> ValidationScores:
    """Say that nothing is left to do, and show the scores again."""
    from dacapo.experiments.run import Run
    from dacapo.report import console, show_scores

    console.print(f"{folder.path} is finished; a larger num_iterations trains it further")
    run = Run(run_config)
    run.validation_scores.scores = folder.read_history().scores
    show_scores(run.validation_scores, run.task.criterion)
    return run.validation_scores


def _loop(run: Run, writer: RunWriter) -> None:
    """Step, checkpoint, validate, until all iterations are done."""
    from dacapo.interrupts import Interrupts
    from dacapo.report import training_progress

    done = run.training_stats.trained_until()
    batches = run.batches(done)
    with (
        Interrupts() as interrupts,
        training_progress(f"{run.name}/{run.repetition}", done, run.num_iterations) as progress,
    ):
        while True:
            if run.validation_due(done):
                _validate(run, writer, progress)
            if done == run.num_iterations:
                if interrupts.signal is not None:  # it came during the last validation
                    interrupts.hand_on()
                break
            begin = time.perf_counter()
            batch = next(batches)
            waited = time.perf_counter() - begin
            stats = run.train_step(batch)
            stats.time, stats.waited = time.perf_counter() - begin, waited
            run.training_stats.add_iteration_stats(stats)
            writer.add_step(stats)
            progress.step(stats)

            done += 1
            stop = interrupts.signal is not None
            if stop or run.validation_due(done) or done % run.trainer.checkpoint_interval == 0:
                writer.add_checkpoint(done, run.state(), keep=_best_iteration(run))
            if stop:
                progress.say(f"saved at iteration {done}; the same command goes on from there")
                writer.finish("interrupted")
                interrupts.hand_on()


def _validate(run: Run, writer: RunWriter, progress: TrainingProgress) -> None:
    from dacapo.report import elapsed, score_line
    from dacapo.validate import validate

    begin = time.perf_counter()
    run.validation_scores.add_iteration_scores(validate(run))
    writer.add_scores(run.validation_scores.scores[-1])
    line = score_line(run.training_stats, run.validation_scores, run.task.criterion)
    progress.say(f"{line}  (validated in {elapsed(begin)})")


def _resume(run: Run, folder: RunFolder, writer: RunWriter) -> None:
    """Load the latest checkpoint that is whole, or begin."""
    from dacapo.report import console
    from dacapo.store import Header
    from dacapo.store.checkpoint import CheckpointError

    history = folder.read_history()  # again: now nobody else can add to it
    begin = 0
    for iteration in reversed(folder.checkpoints()):
        if iteration > run.num_iterations:
            raise InputError(
                f"{folder.path} has been trained until {iteration}, beyond "
                f"num_iterations={run.num_iterations}"
            )
        try:
            state = folder.read_checkpoint(iteration)
        except CheckpointError as error:
            console.print(f"checkpoint left out, going back to the one before: {error}")
            continue
        if history.training_stats.trained_until() < iteration:
            console.print(f"checkpoint {iteration} left out: the log of its steps is shorter")
            continue
        run.load_state(state)
        begin = iteration
        break
    if begin == 0 and run.start is not None:
        run.start.initialize_weights(run.model, folder.read_weights_of)
    run.training_stats = history.training_stats
    run.training_stats.delete_after(begin)
    run.validation_scores.scores = history.scores
    run.validation_scores.delete_after(begin)
    writer.begin(begin, Header.of(run.validation_scores, run.task.criterion))
    console.print(
        f"{folder.path}: {'training' if begin == 0 else 'going on'} from iteration {begin} "
        f"to {run.num_iterations} on {run.trainer.device}"
    )


def _best_iteration(run: Run) -> set[int]:
    best = run.validation_scores.best(run.task.criterion)
    return set() if best is None else {best.iteration}


def _draw(run: Run, folder: RunFolder, writer: RunWriter) -> None:
    """Pictures of the best segmentation of the first validation dataset, and of the history."""
    from dacapo.picture import draw_curves, draw_segmentation
    from dacapo.report import console
    from dacapo.store.checkpoint import CheckpointError
    from dacapo.validate import segment

    curves = draw_curves(run.training_stats, run.validation_scores, run.task.criterion)
    console.print(f"curves:  {writer.add_picture('curves.png', curves)}")
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
    console.print(f"picture: {writer.add_picture('picture.png', picture)}")


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
