"""A sweep: keeps track of its runs, and compares them when all have ended."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from dacapo.errors import InputError
from dacapo.experiments.halving_config import HalvingConfig
from dacapo.experiments.run_config import RunConfig
from dacapo.processes.ranks import current_ranks
from dacapo.sweeps.plan import RunRequest

if TYPE_CHECKING:
    from dacapo.runs import History, RunFolder


@dataclass
class Sweep:
    """The sweep that this process has started.

    Attributes:
        runs_dir: the folder of its runs.
        labels: its runs as far as this process knows them; other launchers start runs elsewhere.
        has_begun: whether a job was started; a sweep that is refused before has nothing to compare.
        is_detached: whether its runs continue without this process, so it cannot compare them.
    """

    runs_dir: Path
    labels: set[str] = field(default_factory=set)
    has_begun: bool = False
    is_detached: bool = False


_current: ContextVar[Sweep | None] = ContextVar("sweep", default=None)
_is_importing: ContextVar[bool] = ContextVar("is_importing", default=False)


class SweepCallback(Callback):
    """A Hydra callback that notices when the command is a sweep."""

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        _current.set(Sweep(Path(str(config.runs_dir))))


def add(folder: RunFolder) -> None:
    """Remember a run of the sweep."""
    if (sweep := _current.get()) is not None:
        sweep.labels.add(folder.label)


def begin() -> None:
    """Note that a job starts."""
    if (sweep := _current.get()) is not None:
        sweep.has_begun = True


def detach() -> Path:
    """Note that the sweep continues without this process, and where its runs are."""
    sweep = _current.get()
    assert sweep is not None
    sweep.is_detached = True
    return sweep.runs_dir


@contextmanager
def compared_at_the_end() -> Iterator[None]:
    """End a sweep with a comparison of all runs, even after a failure.

    Hydra's own callback is not called after a failure.

    Raises:
        SystemExit: with status 1 if a run of the sweep has failed and no error is raised already.
    """
    _current.set(None)
    try:
        yield
    except BaseException:
        try:
            if (sweep := _current.get()) is not None and sweep.has_begun:
                _compare()
        except InputError as error:  # it must not hide the error that ended the sweep
            sys.stderr.write(f"error: {error}\n")
        raise
    if _compare():
        raise SystemExit(1)


def _compare() -> int:
    """Compare the runs, if there are any; returns the number of failed runs of the sweep."""
    sweep = _current.get()
    if sweep is None or sweep.is_detached or not current_ranks().is_first:
        return 0
    from dacapo.comparison.tables import compare
    from dacapo.runs import find_run_folders

    if not find_run_folders(sweep.runs_dir):
        return 0
    failed = compare(sweep.runs_dir)
    return len([label for label in failed if not sweep.labels or label in sweep.labels])


def read_request(cfg: DictConfig, hydra_config: Any) -> tuple[RunConfig, RunRequest]:
    """The run that a job's config describes, and how it was requested."""
    chosen = {str(k): v for k, v in hydra_config.runtime.choices.items() if v is not None}
    choices = {k: str(v) for k, v in chosen.items() if not k.startswith("hydra")}
    run_config = RunConfig.from_hydra(cfg, choices)
    overrides = [str(o) for o in hydra_config.overrides.task]
    halving = None if cfg.halving is None else OmegaConf.to_object(cfg.halving)
    assert halving is None or isinstance(halving, HalvingConfig)
    return run_config, RunRequest(choices, overrides, bool(cfg.retry), halving)


@contextmanager
def importing() -> Iterator[None]:
    """Import a user's script for its classes; its call of `dacapo.train.main` does nothing."""
    token = _is_importing.set(True)
    try:
        yield
    finally:
        _is_importing.reset(token)


def is_importing() -> bool:
    """Whether a user's script is only imported."""
    return _is_importing.get()


def is_launched() -> bool:
    """Whether a launcher has started this process to train one run."""
    return "SUBMITIT_EXECUTOR" in os.environ


def objective(history: History, run_config: RunConfig) -> float:
    """The best score of its training, as a number for searches; the worst possible one if there is
    no score."""
    trained, criterion = history.as_trained(), run_config.task_config.criterion
    header = trained.header
    is_scored = header is not None and criterion in [c["name"] for c in header.criteria]
    best = trained.best(criterion) if is_scored else None
    if best is not None:
        return best.value
    higher = header is None or header.find(criterion if is_scored else None)[1]
    return -sys.float_info.max if higher else sys.float_info.max
