"""`python -m dacapo.predict run=NAME/0 input=vol.h5:raw output=prediction.ome.zarr`."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dacapo.cli import run_command
from dacapo.config import Config, config, encode, interval, ranged
from dacapo.errors import InputError
from dacapo.experiments.datasplits import RegionConfig

if TYPE_CHECKING:
    from dacapo.experiments.datasplits.datasets.dataset import NormalizedRaw
    from dacapo.inference.trained import TrainedModel


class Padding(Enum):
    """What lies beyond the border of a volume."""

    mirror = "mirror"
    zero = "zero"


class Precision(Enum):
    """The type of stored predictions."""

    float16 = "float16"
    float32 = "float32"


@config(None)
@dataclass(kw_only=True)
class VolumeOptions(Config):
    """A run, and a volume for it."""

    run: str
    """The run: its folder, or name/repetition below runs_dir; best: the one with the best score
    below runs_dir."""
    runs_dir: str = "runs"
    """Folder that holds the runs."""
    iteration: int | None = ranged(None, low=0)
    """Iteration of the weights (default: the best by criterion of those that were kept)."""
    criterion: str | None = None
    """The criterion that decides which is best (default: the run's own)."""
    input: str
    """Raw: file.h5:dataset, stack.tif, a zarr, a URL..."""
    region: RegionConfig | None = None
    """The part to predict (default: all of it), such as region={z: [0, 5000]}; raw around it is
    read as context."""
    voxel_size: list[float] | None = None
    """Overrides the file's voxel size, per axis (z, y, x)."""
    offset: list[float] | None = None
    """Corner of the first voxel; overrides the file's offset."""
    unit: str | None = None
    """Unit of voxel_size, offset, level and region; overrides the file's unit."""
    axes: str | None = None
    """One letter per axis of the input as stored, like tczyx."""
    time: int | None = ranged(None, low=0)
    """Time point of an input that has several."""
    level: list[float] | None = None
    """The voxel size of the pyramid level to open (default: the finest)."""
    resample: bool = False
    """Resample the input to the voxel size that the model was trained on."""
    intensity_range: list[float] | None = interval(None, strict=True)
    """Raw values that are mapped to 0 and 1 (default: as datasplit.normalize of the run does, by
    this volume)."""
    padding: Padding = Padding.mirror
    """What the network sees beyond the border of the volume: mirrored voxels, or zeros."""
    device: str = "auto"
    """cpu, cuda, cuda:1... (default: a GPU if there is one)."""
    overwrite: bool = False
    """Replace an output that exists."""


@config(None)
@dataclass(kw_only=True)
class PredictConfig(VolumeOptions):
    """Predict a volume of any size with a run, block by block, as an OME-Zarr image.

    Rerun the same command to resume: finished blocks are kept.
    """

    output: str
    """The new image, like prediction.ome.zarr."""
    dtype: Precision = Precision.float16
    """Type of the stored values."""
    version: str = "0.5"
    """Version of OME-Zarr: 0.5 (zarr 3) or 0.4 (zarr 2)."""
    chunk: int = ranged(64, low=1)
    """Edge of a chunk, in voxels."""
    block: int | None = ranged(None, low=1)
    """Edge of the blocks that are computed and kept at a time, in voxels, rounded to whole chunks
    (default: one for which the network computes little twice)."""
    levels: int | None = ranged(None, low=1)
    """Number of pyramid levels (default: until a level fits into one chunk)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if Path(self.output).suffix != ".zarr":
            raise InputError(f"output={self.output}: the name must end in .ome.zarr")
        if self.version not in ("0.4", "0.5"):
            raise InputError(f"version={self.version}: choose 0.4 or 0.5")


def main() -> None:
    """The command line."""
    run_command(PredictConfig, predict_command)


def predict_command(options: PredictConfig) -> None:
    """Predict, and report how fast."""
    import numpy as np

    from dacapo.arrays.views import each
    from dacapo.arrays.write import KeptBlocks, write_ome_zarr
    from dacapo.inference.volumes import find_run, normalized, open_raw, region_of
    from dacapo.processes.files import check_writable
    from dacapo.training.terminal import block_progress, console, duration, reported

    output = Path(options.output)
    check_writable(output.parent, "output")
    folder = find_run(options.run, Path(options.runs_dir))
    raw = open_raw(options)
    roi = region_of(options.region, raw)
    with reported("loading the model"):
        from dacapo.inference.predicted import block_edge, efficient_edge, predicted
        from dacapo.inference.trained import TrainedModel

        model = TrainedModel(folder, options.iteration, options.criterion, options.device)
        volume = normalized(options, raw, model)
    prediction = predicted(model, volume, roi)
    dtype = np.dtype(options.dtype.value)
    stored = each(prediction, lambda values: values.astype(dtype), dtype)
    made_by = _made_by(options, model, volume)
    if _is_finished(output, made_by) and not options.overwrite:
        console.print(f"{output} is finished; overwrite=true predicts it again")
        return
    chunk = block_edge(model, options.chunk)
    wanted = efficient_edge(model, chunk) if options.block is None else options.block
    edge = max(1, round(wanted / chunk)) * chunk
    console.print(
        f"{folder.label}, iteration {model.iteration}, on {model.trainer.device}: "
        f"{list(stored.source.shape)} {dtype}, {stored.extent()}"
    )
    begin = time.perf_counter()
    with block_progress() as progress:
        blocks = KeptBlocks(json.dumps(made_by), options.overwrite, progress, edge)
        write_ome_zarr(
            output, stored, version=options.version, levels=options.levels, chunk=chunk,
            blocks=blocks, attributes={"dacapo": made_by},
        )  # fmt: skip
    seconds = time.perf_counter() - begin
    speed = blocks.share * np.prod(stored.shape) / 1e6 / seconds
    console.print(f"{output}: {duration(seconds)}, {speed:.3g} Mvoxel/s")


def _made_by(options: PredictConfig, model: TrainedModel, volume: NormalizedRaw) -> dict[str, Any]:
    """What the output depends on; it is kept with the output, and an unfinished one is continued
    only if all of it is the same."""
    from dacapo import __version__

    weights = model.folder.checkpoint(model.iteration)
    given = {k: v for k, v in encode(options).items() if k not in _NO_INFLUENCE}
    return {
        "version": __version__,
        "run": model.folder.label,
        "iteration": model.iteration,
        "weights": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "input": _state_of(options.input),
        "intensity_range": encode(list(volume.intensity_range)),
        "channels": list(model.channel_names),
        "options": given,
    }


def _is_finished(output: Path, made_by: Mapping[str, Any]) -> bool:
    """Whether the output is there and was made by the same command."""
    import zarr

    try:
        group = zarr.open_group(str(output), mode="r")
    except (OSError, ValueError):
        return False
    return group.attrs.get("dacapo") == made_by


_NO_INFLUENCE = ("_type_", "device", "overwrite", "run", "runs_dir")


def _state_of(uri: str) -> dict[str, Any]:
    """A path, and what changes when its content does."""
    file = Path(uri.rpartition(":")[0]) if not Path(uri).exists() else Path(uri)
    try:
        found = file.stat()
    except OSError:  # a URL
        return {"uri": uri}
    return {"uri": uri, "size": found.st_size, "modified": found.st_mtime_ns}


if __name__ == "__main__":
    main()
