"""`python -m dacapo.train`: train what the command line describes, here or as a sweep.

Nothing heavy is imported before a run begins, so that a typo is reported immediately.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from dacapo.cli import check_first_job, compose_train, explained, one_line_errors, parse, print_help
from dacapo.config import conf_dir
from dacapo.errors import InputError, printable
from dacapo.processes.ranks import current_ranks
from dacapo.sweeps import sweep
from dacapo.sweeps.job import train, train_job
from dacapo.sweeps.plan import RunRequest, run_folder

__all__ = ["RunRequest", "job", "main", "train"]


def main() -> None:
    """Compose the config, run it here or in a sweep; a sweep ends with all runs compared."""
    if sweep.is_importing():
        return
    os.environ.setdefault(
        "HYDRA_FULL_ERROR", "1"
    )  # `one_line_errors` shortens tracebacks, not Hydra
    with one_line_errors():
        line = parse(sys.argv[1:])
        if "--help" in line.flags:
            print_help(compose_train(sys.argv[1:]), line)
            return
        if line.is_sweep:
            check_first_job(line)
        sys.argv[1:] = line.arguments
        with explained(line), sweep.compared_at_the_end():
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
    runs_dir = Path(str(cfg.runs_dir))
    if hydra_config.mode is RunMode.RUN:
        with one_line_errors():
            if any(o.startswith("hydra/launcher=") for o in hydra_config.overrides.hydra):
                raise InputError("hydra/launcher: launchers start the jobs of a sweep, so add -m")
            run_config, request = sweep.read_request(cfg, hydra_config)
            train(run_config, runs_dir, request)
            return sweep.objective(run_folder(run_config, runs_dir).read_history(), run_config)
    try:
        if current_ranks().world > 1 and not sweep.is_launched():
            raise InputError(
                "-m: torchrun trains one run; sweep with several processes per run by "
                "hydra/launcher=slurm hydra.launcher.processes="
            )
        run_config, request = sweep.read_request(cfg, hydra_config)
        return train_job(run_config, runs_dir, request)
    except InputError as error:
        # Hydra reports only the first of the jobs that fail.
        sys.stderr.write(printable(f"error: job {hydra_config.job.num}: {error}\n"))
        raise


if __name__ == "__main__":
    # Imported by name, not as `__main__`, the job can be pickled for other processes.
    from dacapo.train import main as _main

    _main()
