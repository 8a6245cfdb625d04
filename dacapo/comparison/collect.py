"""The scores of many runs as one xarray Dataset."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dacapo.errors import InputError
from dacapo.experiments.run_config import GROUPS
from dacapo.experiments.score_table import Best, column, texts
from dacapo.runs import (
    History,
    RunFolder,
    RunState,
    find_run_folders,
    mean_losses,
    read_state,
)

if TYPE_CHECKING:
    import xarray as xr

_NOT_A_RUN = {*GROUPS, "name", "repetition", "runs_dir", "experiment", "retry"}


@dataclass(frozen=True)
class RunRecord:
    """One run as recorded in its folder.

    Attributes:
        label: name/repetition.
        document: config, choices of groups, overrides.
        state: see `dacapo.runs.state.STATES`.
        best: the best iteration and parameters, and the score that selected them.
        means: the mean over the datasets of each criterion at the best.
    """

    label: str
    document: dict[str, Any]
    history: History
    state: RunState
    overrides: dict[str, str] = field(default_factory=dict)
    best: Best | None = None
    means: Sequence[float] = ()

    @property
    def num_iterations(self) -> int:
        return int(self.document["config"]["num_iterations"])

    @property
    def status(self) -> str:
        return self.state.name


def read_runs(runs_dir: Path) -> list[RunRecord]:
    """All runs below a folder, by name and repetition.

    Raises:
        InputError: there are no runs.
    """
    runs = [read_run(folder) for folder in find_run_folders(runs_dir)]
    if not runs:
        raise InputError(f"runs_dir={runs_dir}: the folder holds no runs")
    return runs


def read_run(folder: RunFolder) -> RunRecord:
    """One run; its scores stay on the disk."""
    history = folder.read_history()
    document = history.document or folder.read_document()
    overrides = dict(o.lstrip("+").split("=", 1) for o in document["overrides"] if "=" in o)
    # A "/" in a name would be a group to netCDF.
    kept = {k.replace("/", "."): v for k, v in overrides.items() if k not in _NOT_A_RUN}
    table = history.table()
    best = None if table is None else table.best()
    means = () if table is None or best is None else table.means[best.index, best.parameters]
    state = read_state(folder, history)
    return RunRecord(folder.label, document, history, state, kept, best, tuple(means))


def collect(runs: Sequence[RunRecord]) -> xr.Dataset:
    """One variable per criterion, dims (runs, iterations, datasets, parameters), and `loss`.

    Runs are aligned by the labels along each dimension, never by position; missing values are NaN.

    Raises:
        InputError: two runs use one criterion name with different directions or bounds.
    """
    import xarray as xr

    scored = [run for run in runs if run.history.header is not None]
    iterations = sorted({i for run in scored for i in run.history.iterations})
    datasets = _union(run.history.header.datasets for run in scored if run.history.header)
    labels, parameters = _parameters(scored)
    dims = ("runs", "iterations", "datasets", "parameters")
    shape = (len(runs), len(iterations), len(datasets), len(labels))
    variables: dict[str, Any] = {
        name: (dims, np.full(shape, np.nan), attributes)
        for name, attributes in _criteria(scored).items()
    }
    loss = np.full(shape[:2], np.nan)
    for number, run in enumerate(runs):
        header = run.history.header
        if header is None:
            continue
        at = _index(iterations, run.history.iterations)
        place = _place(
            at,
            _index(datasets, header.datasets),
            _index(labels, [p["label"] for p in header.parameters]),
        )
        values = run.history.values()
        for index, criterion in enumerate(header.criteria):
            variables[criterion["name"]][1][number][place] = values[..., index]
        loss[number, at] = mean_losses(run.history.steps, run.history.iterations)
    variables["loss"] = (
        dims[:2],
        loss,
        {"higher_is_better": 0, "long_name": "mean training loss since the last validation"},
    )
    coordinates = {
        "runs": texts([run.label for run in runs]),
        "iterations": np.array(iterations, np.int64),
        "datasets": texts(datasets),
        "parameters": texts(labels),
        **{name: ("parameters", values) for name, values in parameters.items()},
        **{name: ("runs", values) for name, values in _run_coordinates(runs).items()},
    }
    return xr.Dataset(variables, coordinates)


def write_dataset(dataset: xr.Dataset, path: Path) -> Path:
    """Write netCDF or zarr (by the suffix) under a temporary name, then rename."""
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        if path.suffix == ".zarr":
            # Zarr format 2 has a stable string type; format 3 has none yet.
            dataset.to_zarr(temporary, mode="w", zarr_format=2)
            shutil.rmtree(path, ignore_errors=True)
        elif path.suffix == ".nc":
            dataset.to_netcdf(temporary, engine="h5netcdf")
        else:
            raise InputError(f"output={path}: the name must end in .nc or .zarr")
        temporary.replace(path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error
    return path


def _union(lists: Iterable[Iterable[str]]) -> list[str]:
    """The union of the lists, in the order of first occurrence."""
    return list(dict.fromkeys(item for items in lists for item in items))


def _place(*indices: list[int]) -> tuple[Any, ...]:
    """An indexer along each dimension: a slice where possible, which is much faster."""
    if all(index == list(range(index[0], index[0] + len(index))) for index in indices if index):
        return tuple(slice(index[0], index[0] + len(index)) if index else [] for index in indices)
    return np.ix_(*indices)


def _index(labels: Sequence[Any], wanted: Sequence[Any]) -> list[int]:
    place = {label: i for i, label in enumerate(labels)}
    return [place[w] for w in wanted]


def _parameters(runs: Sequence[RunRecord]) -> tuple[list[str], dict[str, Any]]:
    """Labels along `parameters`, and the values of every field along them."""
    by_label: dict[str, dict[str, Any]] = {}
    for run in runs:
        assert run.history.header is not None
        for setting in run.history.header.parameters:
            by_label.setdefault(setting["label"], setting)
    fields = _union(setting.keys() for setting in by_label.values())
    columns = {}
    for name in fields:
        if name != "label":
            columns[name] = column([setting.get(name) for setting in by_label.values()])
    return list(by_label), columns


def _criteria(runs: Sequence[RunRecord]) -> dict[str, dict[str, Any]]:
    """Criterion -> attributes."""
    found: dict[str, dict[str, Any]] = {}
    for run in runs:
        assert run.history.header is not None
        for criterion in run.history.header.criteria:
            attributes = {k: v for k, v in criterion.items() if k not in ("name", "store_best")}
            known = found.setdefault(criterion["name"], attributes)
            if known != attributes:
                raise InputError(
                    f"{run.label} and an earlier run define {criterion['name']} differently: "
                    f"{attributes} and {known}"
                )
    return found


def _run_coordinates(runs: Sequence[RunRecord]) -> dict[str, Any]:
    """Coordinates along `runs`: options, cost, and how the run ended."""
    configs = [run.document["config"] for run in runs]
    columns: dict[str, Any] = {
        "name": texts([c["name"] for c in configs]),
        "repetition": np.array([c["repetition"] for c in configs], np.int64),
        "status": texts([run.status for run in runs]),
        "error": texts([run.state.error for run in runs]),
    }
    for group in GROUPS:
        columns[group] = texts([_choice(run, group) for run in runs])
    for key in sorted({key for run in runs for key in run.overrides}):
        columns[key] = texts([run.overrides.get(key, "") for run in runs])
    columns["seconds_per_iteration"] = np.array([_seconds(run.history) for run in runs])
    for key in ("peak_memory_mib", "peak_device_memory_mib", "num_parameters"):
        costs = [float(run.history.outcome.get(key, math.nan)) for run in runs]
        columns[key] = np.array(costs, np.float64)
    return columns


def _seconds(history: History) -> float:
    """The median duration of a step; NaN if there are no steps."""
    return float(np.median(history.steps[:, 1])) if len(history.steps) else math.nan


def _choice(run: RunRecord, group: str) -> str:
    """The option chosen in a group, or the class of its config if none was given."""
    node = run.document["config"][f"{group}_config"]
    default = "" if node is None else str(node["_type_"])
    return str(run.document["choices"].get(group) or default)
