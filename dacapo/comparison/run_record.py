"""What a run's folder says, in brief: enough for tables and for the Dataset of all runs."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dacapo.experiments.run_config import GROUPS
from dacapo.experiments.score_table import Best, ScoreHeader
from dacapo.processes.code import describe
from dacapo.runs import (
    RunFolder,
    RunState,
    Submission,
    Traces,
    mean_losses,
    state_of,
)
from dacapo.runs.history import StoredScores, StoredTable
from dacapo.runs.log import log_files
from dacapo.runs.owner import Owner
from dacapo.runs.writer import ERROR_FILE

_NUM_RECENT = 100
"""Number of latest steps over which speed and loss are averaged."""
_NOT_A_RUN = {*GROUPS, "name", "repetition", "runs_dir", "retry"}
COSTS = (
    "peak_memory_mib", "peak_device_memory_mib", "num_parameters", "voxels_per_second",
    "iterations_per_second", "loop_efficiency", "predicted_voxels_per_second",
    "energy_wh",
)  # fmt: skip


@dataclass(frozen=True)
class RunRecord(StoredTable):
    """One run as recorded in its folder; its scores stay there.

    Attributes:
        folder: the run's folder.
        name, repetition, num_iterations: as configured.
        choices: the option chosen in each group, or the class of its config if none was given.
        overrides: key -> value, without what names a run.
        losses: the mean loss since the previous validation, for each validation.
        curve: the best mean over the datasets at each validation; NaN if there is none.
        trained_until: number of steps done.
        recent_loss, recent_seconds: means over the latest steps.
        seconds_alone: of a step by itself, as measured last; NaN if it was not.
        seconds_per_iteration: the median over all steps.
        costs: see `COSTS`; NaN until the run has ended.
        outcome: status and reasons of the last writer, without its traceback.
        owner: the last writer.
        submission: what a launcher noted.
        num_logs: number of processes that have worked on the run.
        written: when its newest log was last written, in seconds since the epoch.
        error_file: the file with the traceback; empty if there is none.
        best: the best iteration and parameters, and the score that selected them.
        means: the mean over the datasets of each criterion at the best.
        damage: what is damaged in the logs.
        code: that trained it, see `dacapo.processes.code.describe`; empty if unknown.
        digests: part/volume -> what identifies its voxels.
        fold: of a cross-validation; None without one.
        shared_name: of the configuration, for a fold; empty: that of its folder.
    """

    folder: RunFolder
    name: str
    repetition: int
    num_iterations: int
    choices: Mapping[str, str]
    overrides: Mapping[str, str]
    header: ScoreHeader | None
    validations: Sequence[StoredScores]
    losses: Sequence[float]
    curve: Sequence[float]
    trained_until: int
    recent_loss: float
    recent_seconds: float
    seconds_alone: float
    seconds_per_iteration: float
    costs: Sequence[float]
    outcome: Mapping[str, str]
    owner: Owner | None
    submission: Submission | None
    num_logs: int
    written: float
    error_file: str
    best: Best | None
    means: Sequence[float]
    damage: Sequence[str]
    code: str
    digests: Mapping[str, str]
    fold: int | None = None
    shared_name: str = ""

    @property
    def configuration(self) -> str:
        """The name of what it repeats: its folder, which tells copies apart."""
        return self.shared_name or self.label.rpartition("/")[0]

    @property
    def label(self) -> str:
        """name/repetition."""
        return self.folder.label

    @property
    def is_done(self) -> bool:
        return self.outcome.get("status") == "done"

    def state(self) -> RunState:
        """The state at this moment."""
        return state_of(
            Traces(
                self.folder,
                self.outcome,
                self.owner,
                self.submission,
                self.num_logs,
                self.written,
                self.error_file,
            )
        )


def read_record(folder: RunFolder) -> RunRecord:
    """Read one run.

    Raises:
        UnreadableError: a file of it cannot be read.
        FileNotFoundError: it has no config, or is being deleted.
    """
    history = folder.read_history()
    document = folder.read_document(history)
    config, logs = document["config"], log_files(folder.path)
    table, outcome = history.table(), history.outcome
    best = None if table is None else table.best()
    means = () if table is None or best is None else table.means[best.index, best.parameters]
    recent = history.steps[-_NUM_RECENT:]
    error_file = folder.path / ERROR_FILE
    return RunRecord(
        folder=folder,
        name=config["name"],
        repetition=config["repetition"],
        num_iterations=config["num_iterations"],
        choices={group: _choice(document, group) for group in GROUPS},
        overrides=_overrides(document["overrides"]),
        header=history.header,
        validations=history.validations,
        losses=mean_losses(history.steps, history.iterations),
        curve=() if table is None else list(table.criterion_history().values),
        trained_until=history.trained_until,
        recent_loss=float(recent[:, 0].mean()) if len(recent) else math.nan,
        recent_seconds=float(recent[:, 1].mean()) if len(recent) else math.nan,
        seconds_alone=float(recent[-1, 2]) if len(recent) else math.nan,
        seconds_per_iteration=float(np.median(history.steps[:, 1])) if len(recent) else math.nan,
        costs=[_number(outcome.get(key)) for key in COSTS],
        outcome={k: str(outcome[k]) for k in ("status", "error", "why") if k in outcome},
        owner=history.owner,
        submission=folder.read_submission(),
        num_logs=len(logs),
        written=os.stat(logs[-1]).st_mtime if logs else 0.0,
        error_file=str(error_file) if error_file.exists() else "",
        best=best,
        means=[float(mean) for mean in means],
        damage=history.damage,
        code=_code(document),
        digests=_digests(document),
        fold=_fold(config),
    )


def _overrides(overrides: Sequence[str]) -> dict[str, str]:
    pairs = (o.lstrip("+").partition("=") for o in overrides if "=" in o)
    # A "/" in a name would be a group to netCDF.
    return {key.replace("/", "."): value for key, _, value in pairs if key not in _NOT_A_RUN}


def _code(document: Mapping[str, Any]) -> str:
    code = document.get("code")
    return describe(code) if isinstance(code, dict) else ""


def _fold(config: Mapping[str, Any]) -> int | None:
    datasplit = config.get("datasplit_config")
    if not isinstance(datasplit, dict) or not isinstance(datasplit.get("num_folds"), int):
        return None
    fold = datasplit.get("fold")
    return fold if isinstance(fold, int) else None


def _digests(document: Mapping[str, Any]) -> dict[str, str]:
    data = document.get("data")
    parts = data.get("digests") if isinstance(data, dict) else None
    return {
        f"{part}/{name}": str(digest)
        for part, volumes in (parts.items() if isinstance(parts, dict) else ())
        for name, digest in (volumes.items() if isinstance(volumes, dict) else ())
    }


def _choice(document: Mapping[str, Any], group: str) -> str:
    if choice := document["choices"].get(group):
        return str(choice)
    node = document["config"].get(f"{group}_config")
    return str(node.get("_type_", "")) if isinstance(node, dict) else ""


def _number(value: object) -> float:
    is_number = isinstance(value, int | float) and abs(value) < 2**63
    return float(value) if is_number else math.nan  # type: ignore[arg-type]
