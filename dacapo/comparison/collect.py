"""The scores of many runs as one xarray Dataset."""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dacapo.comparison.run_record import COSTS, RunRecord
from dacapo.config import identity_hash
from dacapo.errors import InputError, printable, warn
from dacapo.experiments.run_config import GROUPS
from dacapo.experiments.score_table import column, texts
from dacapo.processes.files import UnreadableError, temporary_name

if TYPE_CHECKING:
    import xarray as xr

DIMS = ("runs", "iterations", "datasets", "parameters")
"""Dimensions of a criterion."""
_POSITIONS = ("run", "iteration", "dataset", "parameter")
"""Coordinates of a score in the long layout, one per dimension."""
_RESERVED = {*DIMS, *_POSITIONS, "score", "loss", "run_number"}
_TAKEN = {*_RESERVED, *GROUPS, *COSTS, "name", "repetition", "status", "error"}
_TAKEN |= {"seconds_per_iteration", "code", "data"}
_DEFINITION = ("higher_is_better", "lower", "upper")
"""Attributes by which a criterion of one run is that of another."""
_KEY = re.compile(r"[A-Za-z_][\w.@:+-]*", re.ASCII)
_NOT_IN_KEY = r"[^\w.@:+-]"
_SMALL = 10_000_000
_MAX_SPREAD = 4
_UNREADABLE = (OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError)
COMPARISON_MARK = "dacapo_comparison"
"""Attribute of every Dataset that `write_dataset` may replace."""


def collect(runs: Sequence[RunRecord]) -> xr.Dataset:
    """One variable per criterion, and `loss`.

    Runs are aligned by the labels along each dimension, never by position. With
    `layout="dims"`, criteria have the dimensions (runs, iterations, datasets, parameters), and
    missing values are NaN. Runs that share few iterations, datasets and parameters would make that
    far larger than the scores there are. Then the Dataset is in long form, `layout="long"`: the
    criteria have the one dimension `score`, and its coordinate `iteration` holds the iteration, and
    `run`, `dataset` and `parameter` the positions along `runs`, `datasets` and `parameters`.
    `to_dims` leads back.

    A run whose scores cannot be read any more has NaN, and so has a criterion whose direction or
    bounds differ from those in an earlier run; a warning says so.
    """
    axes = _Axes(runs)
    criteria = _criteria(axes.scored)
    num_scores = sum(axes.num_scores(run) for run in axes.scored)
    full = int(np.prod([len(axes.labels[dim]) for dim in DIMS], dtype=float))
    is_long = full * len(criteria) > max(_SMALL, _MAX_SPREAD * num_scores * len(criteria))
    return _long(axes, criteria, num_scores) if is_long else _dims(axes, criteria)


def to_dims(dataset: xr.Dataset) -> xr.Dataset:
    """A Dataset of `collect` with the dimensions (runs, iterations, datasets, parameters).

    Select some runs first if the result would be too large:

        to_dims(dataset.isel(runs=[0, 3]))
    """
    import xarray as xr

    if dataset.attrs["layout"] == "dims":
        return dataset
    runs = dataset["runs"].values
    # Positions count all runs that were collected; the ones that are left may be a selection.
    place = {int(number): at for at, number in enumerate(dataset["run_number"].values)}
    kept = np.isin(dataset["run"].values, list(place))
    chosen = {name: dataset[name].values[kept] for name in _POSITIONS}
    iterations = np.unique(chosen["iteration"])
    at = (
        np.array([place[int(number)] for number in chosen["run"]], np.int64),
        np.searchsorted(iterations, chosen["iteration"]),
        chosen["dataset"],
        chosen["parameter"],
    )
    shape = (len(runs), len(iterations), dataset.sizes["datasets"], dataset.sizes["parameters"])
    variables: dict[str, Any] = {}
    for name, variable in dataset.data_vars.items():
        if variable.dims != ("score",):
            variables[str(name)] = variable.variable
            continue
        dims, index = (DIMS[:2], at[:2]) if name == "loss" else (DIMS, at)
        values = np.full(shape[: len(dims)], np.nan)
        values[index] = variable.values[kept]
        variables[str(name)] = (dims, values, variable.attrs)
    coordinates = {
        k: v.variable
        for k, v in dataset.coords.items()
        if "score" not in v.dims and k != "run_number"
    }
    attributes = {**dataset.attrs, "layout": "dims"}
    return xr.Dataset(variables, {**coordinates, "iterations": iterations}, attributes)


def write_dataset(dataset: xr.Dataset, path: Path) -> Path:
    """Write netCDF or zarr (by the suffix) under a temporary name, then rename.

    Raises:
        InputError: the disk is full or not writable, or something else has this name.
    """
    check_output(path)
    marked = dataset.assign_attrs({COMPARISON_MARK: 1})
    temporary = temporary_name(path).with_suffix(path.suffix)
    try:
        if path.suffix == ".zarr":
            # Zarr format 2 has a stable string type; format 3 has none yet.
            marked.to_zarr(temporary, mode="w", zarr_format=2)
            if path.exists():
                shutil.rmtree(path)
        else:
            marked.to_netcdf(temporary, engine="h5netcdf")
        temporary.replace(path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        temporary.unlink(missing_ok=True)
    return path


def check_output(path: Path) -> None:
    """Refuse to replace anything but a Dataset that `write_dataset` wrote.

    Raises:
        InputError: something else has this name, or its suffix is unknown.
    """
    if path.suffix not in (".nc", ".zarr"):
        raise InputError(f"output={path}: the name must end in .nc or .zarr")
    if not path.exists():
        return
    is_ours = False
    if path.is_dir() if path.suffix == ".zarr" else path.is_file():
        try:
            with open_dataset(path) as dataset:
                # Earlier versions set no mark.
                is_ours = COMPARISON_MARK in dataset.attrs or {"runs", "status", "loss"} <= {
                    *dataset.variables
                }
        except _UNREADABLE:  # of another format, or damaged
            is_ours = False
    if not is_ours:
        raise InputError(
            f"output={path} is not a comparison that this command wrote, so it is not replaced: "
            f"choose another output="
        )


def open_dataset(path: Path) -> xr.Dataset:
    """A Dataset in a file or, if its name ends in .zarr, in a store with or without an index."""
    import xarray as xr

    if path.suffix == ".zarr":
        return xr.open_dataset(path, engine="zarr", consolidated=False)
    return xr.open_dataset(path, engine="h5netcdf")


class _Axes:
    """The labels along each dimension, and the place of each run in them."""

    def __init__(self, runs: Sequence[RunRecord]) -> None:
        self.runs = runs
        self.scored = [run for run in runs if run.header is not None]
        self.settings, self.parameters = _parameters(self.scored)
        self.labels: dict[str, list[Any]] = {
            "runs": [run.label for run in runs],
            "iterations": sorted({i for run in self.scored for i in run.iterations}),
            "datasets": _union(run.header.datasets for run in self.scored if run.header),
            "parameters": self.settings,
        }
        self._at = {d: {label: i for i, label in enumerate(v)} for d, v in self.labels.items()}

    def num_scores(self, run: RunRecord) -> int:
        assert run.header is not None
        return len(run.iterations) * int(np.prod(run.header.shape[:2]))

    def place(self, run: RunRecord) -> tuple[list[int], list[int], list[int]]:
        """Positions of the run's scores along iterations, datasets and parameters."""
        assert run.header is not None
        settings = [p["label"] for p in run.header.parameters]
        wanted = zip(DIMS[1:], (run.iterations, run.header.datasets, settings), strict=True)
        iterations, datasets, parameters = (
            [self._at[dim][label] for label in labels] for dim, labels in wanted
        )
        return iterations, datasets, parameters

    def coordinates(self, criteria: Collection[str]) -> dict[str, Any]:
        """Coordinates along runs, datasets and parameters, by names that no criterion has."""
        labels = {dim: _texts(self.labels[dim]) for dim in ("runs", "datasets", "parameters")}
        taken = {*criteria, *_RESERVED}
        runs = _run_coordinates(self.runs, {*taken, *self.parameters})
        own = {
            _free_name(name, {*taken, *runs}, "parameter"): values
            for name, values in self.parameters.items()
        }
        return {
            **labels,
            **{name: ("parameters", values) for name, values in own.items()},
            **{name: ("runs", values) for name, values in runs.items()},
        }


_LOSS = {"higher_is_better": 0, "long_name": "mean training loss since the last validation"}


def _dims(axes: _Axes, criteria: dict[str, dict[str, Any]]) -> xr.Dataset:
    import xarray as xr

    shape = tuple(len(axes.labels[dim]) for dim in DIMS)
    variables: dict[str, Any] = {
        name: (DIMS, np.full(shape, np.nan), attributes) for name, attributes in criteria.items()
    }
    loss = np.full(shape[:2], np.nan)
    for number, run in enumerate(axes.runs):
        if run.header is None or not axes.num_scores(run):
            continue
        place = axes.place(run)
        for name, values in _values(run, criteria).items():
            variables[name][1][number][_indexer(*place)] = values
        loss[number, place[0]] = run.losses
    variables["loss"] = (DIMS[:2], loss, _LOSS)
    iterations = np.array(axes.labels["iterations"], np.int64)
    coordinates = {**axes.coordinates(criteria), "iterations": iterations}
    return xr.Dataset(variables, coordinates, {"layout": "dims"})


def _long(axes: _Axes, criteria: dict[str, dict[str, Any]], count: int) -> xr.Dataset:
    import xarray as xr

    variables: dict[str, Any] = {
        name: ("score", np.full(count, np.nan), attributes) for name, attributes in criteria.items()
    }
    variables["loss"] = ("score", np.full(count, np.nan), _LOSS)
    positions = {name: np.empty(count, np.int32) for name in _POSITIONS}
    positions["iteration"] = np.empty(count, np.int64)
    end = 0
    for number, run in enumerate(axes.runs):
        if run.header is None:
            continue
        begin, end = end, end + axes.num_scores(run)
        for name, values in _values(run, criteria).items():
            variables[name][1][begin:end] = values.ravel()
        _, datasets, parameters = axes.place(run)
        grids = np.meshgrid(run.iterations, datasets, parameters, indexing="ij")
        for name, grid in zip(_POSITIONS[1:], grids, strict=True):
            positions[name][begin:end] = grid.ravel()
        positions["run"][begin:end] = number
        repeated = np.asarray(run.losses)[:, None, None]
        variables["loss"][1][begin:end] = np.broadcast_to(repeated, grids[0].shape).ravel()
    coordinates = {
        **axes.coordinates(criteria),
        "run_number": ("runs", np.arange(len(axes.runs), dtype=np.int32)),
        **{name: ("score", values) for name, values in positions.items()},
    }
    return xr.Dataset(variables, coordinates, {"layout": "long"})


def _union(lists: Iterable[Iterable[str]]) -> list[str]:
    """The union of the lists, in the order of first occurrence."""
    return list(dict.fromkeys(item for items in lists for item in items))


def _indexer(*indices: list[int]) -> tuple[Any, ...]:
    """An indexer along each dimension: a slice where possible, which is much faster."""
    if all(index == list(range(index[0], index[0] + len(index))) for index in indices if index):
        return tuple(slice(index[0], index[0] + len(index)) if index else [] for index in indices)
    return np.ix_(*indices)


def _parameters(runs: Sequence[RunRecord]) -> tuple[list[str], dict[str, Any]]:
    """Labels along `parameters`, and the values of every field along them."""
    by_label: dict[str, dict[str, Any]] = {}
    for run in runs:
        assert run.header is not None
        for setting in run.header.parameters:
            by_label.setdefault(setting["label"], setting)
    fields = _union(setting.keys() for setting in by_label.values())
    columns = {}
    for name in fields:
        if name != "label":
            columns[name] = column([_plain(setting.get(name)) for setting in by_label.values()])
    return list(by_label), columns


def _plain(value: object) -> object:
    """A value as files can hold it: a number, or a text."""
    is_number = isinstance(value, int | float) and abs(value) < 2**63
    return value if value is None or is_number else printable(str(value))


def _criteria(runs: Sequence[RunRecord]) -> dict[str, dict[str, Any]]:
    """Criterion -> attributes, as the first run that has it defines them."""
    found: dict[str, dict[str, Any]] = {}
    for run in runs:
        assert run.header is not None
        for criterion in run.header.criteria:
            plain = {
                k: v if isinstance(v, int | float) else printable(v)
                for k, v in criterion.items()
                if k not in ("name", "store_best") and isinstance(v, str | int | float)
            }
            if criterion["name"] not in _TAKEN:
                found.setdefault(criterion["name"], plain)
    return found


def _values(
    run: RunRecord, criteria: Mapping[str, Mapping[str, Any]]
) -> dict[str, np.ndarray[Any, Any]]:
    """The scores of a run by criterion: (iterations, datasets, parameters)."""
    assert run.header is not None
    try:
        values = run.values()
    except (UnreadableError, FileNotFoundError) as error:
        warn(f"{run.label}: its scores are left out: {error}")
        return {}
    found = {}
    for index, criterion in enumerate(run.header.criteria):
        name = criterion["name"]
        if name not in criteria:
            warn(f"{run.label}: its {name} is left out: it has the name of a coordinate")
        elif any(criterion.get(key) != criteria[name].get(key) for key in _DEFINITION):
            warn(f"{run.label}: its {name} is left out: it is defined otherwise in earlier runs")
        else:
            found[name] = values[..., index]
    return found


def _run_coordinates(runs: Sequence[RunRecord], taken: Collection[str]) -> dict[str, Any]:
    """Coordinates along `runs`: options, cost, and how the run ended.

    Args:
        taken: names that no override may take; an override of such a key is `override.KEY`.
    """
    states = [run.state() for run in runs]
    columns: dict[str, Any] = {
        "name": _texts([run.name for run in runs]),
        "repetition": np.array([run.repetition for run in runs], np.int64),
        "status": _texts([state.name for state in states]),
        "error": _texts([state.error for state in states]),
        "code": _texts([run.code for run in runs]),
        "data": _texts([_digest(run) for run in runs]),
    }
    for group in GROUPS:
        columns[group] = _texts([run.choices[group] for run in runs])
    columns["seconds_per_iteration"] = np.array([run.seconds_per_iteration for run in runs], float)
    for number, key in enumerate(COSTS):
        columns[key] = np.array([run.costs[number] for run in runs], float)
    for key in sorted({key for run in runs for key in run.overrides}):
        name = _free_name(key, {*taken, *columns}, "override")
        columns.setdefault(name, _texts([run.overrides.get(key, "") for run in runs]))
    return columns


def _digest(run: RunRecord) -> str:
    """Identifies the voxels that a run was trained on; empty if they are not known."""
    trained = {k: v for k, v in run.digests.items() if k.startswith("train/")}
    return identity_hash(trained) if trained else ""


def _free_name(key: str, taken: Collection[str], kind: str) -> str:
    """A name that files can hold and that is not taken: KEY, or KIND.KEY."""
    is_free = _KEY.fullmatch(key) and key not in taken
    return key if is_free else f"{kind}.{re.sub(_NOT_IN_KEY, '_', key)}"


def _texts(values: Sequence[str]) -> np.ndarray[Any, Any]:
    """Texts of unknown origin as files can hold them."""
    return texts([printable(value) for value in values])
