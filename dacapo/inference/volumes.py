"""A volume and a run, as the commands that predict take them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from dacapo.arrays import Array, open_array, views
from dacapo.errors import InputError
from dacapo.experiments.datasplits.array_opener import in_region, resampled
from dacapo.experiments.datasplits.datasets.dataset import NormalizedRaw
from dacapo.experiments.datasplits.datasets.statistics import find_range
from dacapo.experiments.datasplits.volume_config import ArrayKind
from dacapo.runs import RunFolder, find_run_folders, missing_run

if TYPE_CHECKING:
    from funlib.geometry import Roi

    from dacapo.experiments.datasplits import RegionConfig
    from dacapo.inference.trained import TrainedModel


def find_run(run: str, runs_dir: Path) -> RunFolder:
    """A run by its folder, by name/repetition, or the `best` one.

    Raises:
        InputError: there is no such run, or the runs were not compared by one criterion.
    """
    if run == "best":
        return _best_run(runs_dir)
    path = Path(run)
    folder = RunFolder(path if path.is_dir() else runs_dir / run)
    if not folder.holds_run():
        raise InputError(missing_run(run, runs_dir))
    return folder


def open_raw(options: Any) -> Array:
    """The input of a command, with its axes in the direction in which positions increase."""
    keys = ("voxel_size", "offset", "unit", "axes", "time", "level")
    grid = {key: getattr(options, key) for key in keys}
    return views.upright(open_array(options.input, key="input", **grid))


def normalized(options: Any, raw: Array, model: TrainedModel) -> NormalizedRaw:
    """The input at the model's voxel size, with intensities as in training."""
    size = model.sample_shape.input_voxel_size
    if options.resample and raw.voxel_size != size:
        from dacapo.arrays.units import from_world

        wanted = from_world(size, raw.unit)
        raw = resampled(raw, wanted, ArrayKind.intensities, "resample")
    return NormalizedRaw(raw, _intensity_range(options, raw, model), options.padding.value)


def region_of(region: RegionConfig | None, raw: Array) -> Roi:
    """The part of the input that was asked for."""
    return raw.roi if region is None else in_region(raw, region, "region").roi


def _intensity_range(options: Any, raw: Array, model: TrainedModel) -> Any:
    """What was given; else what the run's data split gives; else found as in training."""
    if options.intensity_range is not None:
        return tuple(options.intensity_range)
    datasplit = model.run_config.datasplit_config
    how = getattr(datasplit, "normalize", None)
    if how is None or getattr(datasplit, "intensity_range", None) is not None:
        if model.intensity_range is not None:
            return tuple(model.intensity_range)
        return find_range(raw)
    low, high = datasplit.percentiles  # type: ignore[attr-defined]
    return find_range(raw, how.value, (low, high))


def _best_run(runs_dir: Path) -> RunFolder:
    best: dict[str, tuple[float, RunFolder]] = {}
    for folder in find_run_folders(runs_dir):
        history = folder.read_history()
        found = history.best()
        if found is None or history.header is None:
            continue
        criterion = history.header.selected_by
        value = found.value if history.header.find()[1] else -found.value
        if criterion not in best or value > best[criterion][0]:
            best[criterion] = value, folder
    if len(best) != 1:
        by = f"they are selected by {', '.join(best)}" if best else "none has a score"
        raise InputError(f"run=best: the runs below {runs_dir} cannot be compared: {by}")
    ((_, folder),) = best.values()
    return folder
