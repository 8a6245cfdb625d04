"""A volume and a run, as the commands that predict take them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dacapo.arrays import Array, open_array, views
from dacapo.arrays.kept import made_by
from dacapo.config import encode
from dacapo.errors import InputError, warn
from dacapo.experiments.datasplits.array_opener import in_region, resampled
from dacapo.experiments.datasplits.datasets.dataset import NormalizedRaw
from dacapo.experiments.datasplits.volume_config import ArrayKind
from dacapo.experiments.trainers.augments import Mirror
from dacapo.processes.files import format_bytes
from dacapo.runs import RunFolder, find_run_folders, missing_run

if TYPE_CHECKING:
    from funlib.geometry import Roi

    from dacapo.experiments.datasplits import RegionConfig
    from dacapo.inference.saved import SavedModel
    from dacapo.inference.trained import TrainedModel


_NO_INFLUENCE = (
    "_type_", "device", "overwrite", "run", "runs_dir", "input", "output", "iteration", "criterion",
    "prediction", "parameters", "keep", "num_workers", "workers", "launcher", "check_seams",
)  # fmt: skip
_MAX_FILES = 200_000
_STEPS = 255  # of predictions in uint8


@dataclass(frozen=True)
class Prepared:
    """Models, and the mean of their predictions for a volume.

    Attributes:
        options: of the command, see `VolumeOptions`.
        models: the first one's post-processor and scores are used.
        volumes: what each of them sees; empty if the prediction is there already.
        prediction: (C, *spatial); computed where it is read, float32, or opened.
        chunk: the edge of chunks, in voxels: a multiple of the network's period.
    """

    options: Any
    models: Sequence[TrainedModel]
    volumes: Sequence[NormalizedRaw]
    prediction: Array
    chunk: int

    @property
    def model(self) -> TrainedModel:
        return self.models[0]

    def stored(self) -> Array:
        """The prediction in the type in which it is stored."""
        dtype = np.dtype(self.options.dtype.value)
        if dtype != np.uint8:
            return views.each(self.prediction, lambda values: values, dtype)
        low, high = self.bounds
        return views.each(
            self.prediction, lambda v: np.rint((v - low) * (_STEPS / (high - low))), dtype
        )

    def restored(self, array: Array) -> Array:
        """The values of a stored prediction."""
        if array.dtype != np.uint8:
            return array
        low, high = self.bounds
        step = np.float32((high - low) / _STEPS)
        return views.each(array, lambda v: v * step + np.float32(low), np.float32)

    @property
    def bounds(self) -> tuple[float, float]:
        """What the lowest and the highest number of a prediction in uint8 stand for."""
        bounds = self.model.task.predictor.output_array_type.bounds
        if bounds is None:
            raise InputError(
                f"dtype=uint8: not all channels of {self.model.saved.label} have the same bounds: "
                f"choose float16 or float32"
            )
        return bounds

    def edge(self, wanted: int | None) -> int:
        """The edge of the blocks to predict at a time, in whole chunks."""
        from dacapo.inference.predicted import efficient_edge

        edge = efficient_edge(self.model, self.chunk) if wanted is None else wanted
        return max(1, round(edge / self.chunk)) * self.chunk

    def __str__(self) -> str:
        names = (model.saved.name for model in self.models)
        return f"{'; '.join(names)}; on {self.model.trainer.device}"


def prepare(options: Any) -> Prepared:
    """Open the volume and load the model of a command.

    Raises:
        InputError: there is no such run or volume, or they do not fit together.
    """
    from dacapo.processes.files import check_writable
    from dacapo.training.terminal import reported

    check_writable(Path(options.output).parent, "output")
    found = _find_models(options)
    raw = open_raw(options)
    with reported("loading the model"):
        from dacapo.inference.averaged import averaged
        from dacapo.inference.predicted import block_edge
        from dacapo.inference.trained import TrainedModel

        # Jobs of a cluster predict on devices that the machine of the command may not have.
        device = "cpu" if options.workers else options.device
        models = [TrainedModel(saved, device) for saved in found]
        _check_different(models)
        volumes = [normalized(options, raw, model) for model in models]
    if options.mirror:
        _warn_of_mirroring(models)
    prediction = averaged(
        models, volumes, region_of(options.region, volumes[0].raw), options.mirror
    )
    return Prepared(options, models, volumes, prediction, block_edge(models[0], options.chunk))


def open_prediction(options: Any) -> Prepared:
    """The run of a command, and a prediction that it has made.

    Raises:
        InputError: it was not made by these weights.
    """
    from dacapo.inference.predicted import block_edge
    from dacapo.inference.trained import TrainedModel

    found = _find_models(options)
    array = open_array(options.prediction, key="prediction")
    models = [TrainedModel(saved, "cpu") for saved in found]
    _check_different(models)
    path = Path(options.prediction)
    origin = made_by(path) or made_by(path.parent)  # a level of the pyramid may be given
    if not isinstance(origin, Mapping):
        raise InputError(
            f"prediction={options.prediction} does not say which weights made it, as what "
            f"dacapo.predict writes does"
        )
    made = origin.get("models")
    weights = [m.get("weights") for m in made] if isinstance(made, list) else []
    if weights != [model.digest() for model in models]:
        named = " and ".join(saved.name for saved in found)
        raise InputError(
            f"prediction={options.prediction} was not made by {named}: predict again, or give run= "
            f"and iteration= that made it"
        )
    if options.region is not None:
        array = array.crop(in_region(array, options.region, "region").roi)
    prepared = Prepared(options, models, (), array, block_edge(models[0], options.chunk))
    return replace(prepared, prediction=prepared.restored(array))


def _find_models(options: Any) -> list[SavedModel]:
    if not options.run:
        raise InputError("run=[]: name a run")
    return [
        find_model(run, Path(options.runs_dir), iteration, options.criterion)
        for run in options.run
        for iteration in options.iteration or [None]
    ]


def _check_different(models: Sequence[TrainedModel]) -> None:
    if len(models) > 1 and len({model.digest() for model in models}) < len(models):
        names = "; ".join(model.saved.name for model in models)
        raise InputError(f"run: a model is named twice: {names}")


def find_model(
    run: str, runs_dir: Path, iteration: int | None, criterion: str | None
) -> SavedModel:
    """The model of a run or of a package, see `VolumeOptions`.

    Raises:
        InputError: there is none.
    """
    path = Path(run)
    if path.is_file() or (path / "rdf.yaml").is_file():
        if iteration is not None or criterion is not None:
            raise InputError(f"run={run} has one model: leave out iteration and criterion")
        from dacapo.inference.saved import of_package

        return of_package(path)
    folder = find_run(run, runs_dir, criterion)
    from dacapo.inference.saved import of_run

    return of_run(folder, iteration, criterion)


def _warn_of_mirroring(models: Sequence[TrainedModel]) -> None:
    """Warn of models that have never seen mirrored volumes."""
    for model in models:
        augments = getattr(model.saved.trainer, "augments", {})
        if not any(isinstance(augment, Mirror) for augment in augments.values()):
            warn(
                f"mirror=true: {model.saved.label} was trained without trainer/augments=[mirror], "
                f"and may predict mirrored volumes worse"
            )


def check_apart(output: Path, uri: str) -> None:
    """Refuse an output in whose place the input lies."""
    source = _local_path(uri)
    if source is not None and (source := source.resolve()).is_relative_to(output.resolve()):
        raise InputError(f"output={output}: the input, {uri}, lies there: choose another output")


def warn_of_space(output: Path, arrays: Sequence[Array]) -> None:
    """Warn if the disk may not hold the output."""
    folder = next(p for p in output.resolve().parents if p.exists())
    needed = sum(a.nbytes for a in arrays) * 8 / 7  # with the pyramid
    free = shutil.disk_usage(folder).free
    if needed > free:
        warn(
            f"output={output}: up to {format_bytes(needed)} are needed, less as far as they can be "
            f"compressed, and {format_bytes(free)} are free"
        )


def provenance(prepared: Prepared) -> dict[str, Any]:
    """What an output depends on; it is kept with the output, and an unfinished one is continued
    only if all of it is the same."""
    from dacapo import __version__

    options = prepared.options
    models: list[dict[str, Any]] = [
        {
            "run": model.saved.label,
            "iteration": model.saved.iteration,
            "weights": model.digest(),
        }
        for model in prepared.models
    ]
    for made, volume in zip(models, prepared.volumes, strict=False):
        made["intensity_range"] = encode(list(volume.intensity_range))
    stored: dict[str, Any] = {}
    if prepared.volumes and options.dtype.value == "uint8":
        stored["bounds"] = list(prepared.bounds)
    return {
        "version": __version__,
        "models": models,
        **stored,
        "input": _state_of(options.input or options.prediction),
        "channels": list(prepared.model.channel_names),
        "options": {k: v for k, v in encode(options).items() if k not in _NO_INFLUENCE},
    }


def _local_path(uri: str) -> Path | None:
    """The file or folder of a volume; None for a URL."""
    for path in (uri, uri.rpartition(":")[0]):
        if path and Path(path).exists():
            return Path(path)
    return None


def _state_of(uri: str) -> dict[str, Any]:
    """A volume, and what changes when its content does."""
    path = _local_path(uri)
    if path is None:
        return {"uri": uri}
    size, newest = 0, 0
    for number, file in enumerate(_files(path)):
        found = file.stat()
        size, newest = size + found.st_size, max(newest, found.st_mtime_ns)
        if number == _MAX_FILES:
            break
    return {"uri": uri.replace(str(path), str(path.resolve()), 1), "size": size, "modified": newest}


def _files(path: Path) -> Iterator[Path]:
    """A file, or those below a folder in a fixed order."""
    if not path.is_dir():
        yield path
    for folder, below, files in os.walk(path):
        below.sort()
        yield from (Path(folder, name) for name in sorted(files))


def find_run(run: str, runs_dir: Path, criterion: str | None = None) -> RunFolder:
    """A run by its folder, by name/repetition, or the `best` one.

    Args:
        criterion: decides which is best; None: that by which the runs were selected.

    Raises:
        InputError: there is no such run, or the runs were not compared by one criterion.
    """
    if run == "best":
        return _best_run(runs_dir, criterion)
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
    given = options.intensity_range and tuple(options.intensity_range)
    levels = given or model.saved.normalization.range_of(raw)
    return NormalizedRaw(raw, levels, options.padding.value)


def region_of(region: RegionConfig | None, raw: Array) -> Roi:
    """The part of the input that was asked for."""
    return raw.roi if region is None else in_region(raw, region, "region").roi


def _best_run(runs_dir: Path, criterion: str | None) -> RunFolder:
    best: dict[str, tuple[float, RunFolder]] = {}
    known: set[str] = set()
    for folder in find_run_folders(runs_dir):
        history = folder.read_history()
        if history.header is None:
            continue
        by = criterion or history.header.selected_by
        names = [c["name"] for c in history.header.criteria]
        if by not in names:
            known.update(names)
            continue
        found = history.best(by)
        if found is None:
            continue
        value = found.value if history.header.find(by)[1] else -found.value
        if by not in best or value > best[by][0]:
            best[by] = value, folder
    if len(best) != 1:
        why = f"they are selected by {', '.join(best)}" if best else "none has a score"
        if criterion and not best and known:
            raise InputError(f"criterion={criterion}: choose from {', '.join(sorted(known))}")
        raise InputError(f"run=best: the runs below {runs_dir} cannot be compared: {why}")
    ((_, folder),) = best.values()
    return folder
