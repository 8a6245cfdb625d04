"""`python -m dacapo.train`: train what the command line describes, here or as a sweep.

Nothing heavy is imported before a run begins, so that a typo is reported immediately.
"""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from dacapo.cli import one_line_errors, print_help
from dacapo.config import conf_dir
from dacapo.errors import InputError
from dacapo.processes.ranks import current_ranks, process_group
from dacapo.sweeps import sweep
from dacapo.sweeps.plan import RunRequest, plan_run, run_folder

if TYPE_CHECKING:
    from dacapo.experiments.run_config import RunConfig
    from dacapo.experiments.validation_scores import ValidationScores
    from dacapo.runs import RunWriter


def main() -> None:
    """Compose the config, run it here or in a sweep; a sweep ends with all runs compared."""
    os.environ.setdefault(
        "HYDRA_FULL_ERROR", "1"
    )  # `one_line_errors` shortens tracebacks, not Hydra
    with one_line_errors():
        if {"--help", "-h"} & set(sys.argv[1:]):
            print_help(sys.argv[1:])
            return
        sys.argv[1:] = sorted(sys.argv[1:], key=lambda a: a not in ("-m", "--multirun"))
        with sweep.compared_at_the_end():
            try:
                hydra.main(version_base="1.3", config_path=conf_dir(), config_name="train")(job)()
            except OSError as error:
                if ".hydra" not in str(error.filename):
                    raise
                raise InputError(
                    f"runs_dir: cannot write {error.filename}: {error.strerror}"
                ) from error


def job(cfg: DictConfig) -> float:
    """Train one run, of a sweep or alone; returns its best score.

    In a sweep a user error raises, so that the other jobs continue. Runs that are finished or being
    trained elsewhere are skipped.
    """
    hydra_config = HydraConfig.get()
    if hydra_config.mode is RunMode.RUN:
        with one_line_errors():
            if any(o.startswith("hydra/launcher=") for o in hydra_config.overrides.hydra):
                raise InputError("hydra/launcher: launchers start the jobs of a sweep, so add -m")
            return _job(cfg, hydra_config, in_sweep=False)
    try:
        if current_ranks().world > 1 and not sweep.is_launched():
            raise InputError(
                "-m: torchrun trains one run; sweep with several processes per run by "
                "hydra/launcher=slurm hydra.launcher.processes="
            )
        return _job(cfg, hydra_config, in_sweep=True)
    except InputError as error:
        # Hydra reports only the first of the jobs that fail.
        sys.stderr.write(f"error: job {hydra_config.job.num}: {error}\n")
        raise


def _job(cfg: DictConfig, hydra_config: Any, in_sweep: bool) -> float:
    run_config, request = sweep.read_request(cfg, hydra_config)
    from dacapo.runs import (
        BusyError,
    )  # imports numpy, which is not needed to report a mistake in the config

    runs_dir = Path(str(cfg.runs_dir))
    folder = run_folder(run_config, runs_dir)
    with process_group() as ranks:
        if in_sweep:
            sweep.add(folder)
            plan = ranks.broadcast(lambda: plan_run(folder, run_config, request))
            elsewhere = ("running",) if sweep.is_launched() else ("running", "waiting")
            if plan.action in ("done", "stopped", *elsewhere):
                print(plan.text, flush=True)
                return sweep.objective(plan.history, run_config)
        try:
            train(run_config, runs_dir, request)
        except BusyError as error:  # another process has claimed it since
            if not in_sweep:
                raise
            print(error, flush=True)
        return sweep.objective(folder.read_history(), run_config)


def train(
    run_config: RunConfig, runs_dir: Path, request: RunRequest | None = None
) -> ValidationScores:
    """Train, validate and keep everything in `runs_dir/name/repetition`.

    Calling it again resumes an interrupted run, to the same bits. For a finished run, it returns
    the scores.

    Raises:
        BusyError: another process trains this run.
        InputError: the config does not fit the data or the run's folder, or the run has failed
            twice with the same traceback and `request.retry` is not set.
    """
    from dacapo.runs import NoWriter
    from dacapo.training.session import finished_scores, train_run
    from dacapo.training.terminal import console

    request = request or RunRequest()
    folder = run_folder(run_config, runs_dir)
    with process_group() as ranks, ExitStack() as stack:
        console.quiet = not ranks.is_first
        plan = ranks.broadcast(lambda: plan_run(folder, run_config, request))
        if plan.action == "done":
            return finished_scores(run_config, folder)
        plan.refuse(folder)
        writers: list[RunWriter] = []
        ranks.broadcast(
            lambda: writers.append(
                stack.enter_context(folder.writing(request.document(run_config)))
            )
        )
        writer = writers[0] if writers else NoWriter()
        return train_run(
            run_config, folder, writer, ranks, lambda run: request.reason_to_prune(run, folder)
        )


if __name__ == "__main__":
    # Imported by name, not as `__main__`, the job can be pickled for other processes.
    from dacapo.train import main as _main

    _main()
