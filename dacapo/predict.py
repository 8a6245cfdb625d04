"""`python -m dacapo.predict run=NAME/0 input=vol.h5:raw output=prediction.ome.zarr`."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from dacapo.cli import run_command
from dacapo.config import Config, config, interval, ranged
from dacapo.errors import InputError
from dacapo.experiments.datasplits import RegionConfig


class Padding(Enum):
    """What lies beyond the border of a volume."""

    mirror = "mirror"
    zero = "zero"


class Precision(Enum):
    """The type of stored predictions."""

    float16 = "float16"
    float32 = "float32"
    uint8 = "uint8"


@config(None)
@dataclass(kw_only=True)
class VolumeOptions(Config):
    """A run, a volume for it, and an output."""

    run: list[str]
    """The run: its folder, or name/repetition below runs_dir; best: the one with the best score
    below runs_dir. The predictions of several, [a/0,a/1], are averaged."""
    runs_dir: str = "runs"
    """Folder that holds the runs."""
    iteration: list[int] = ranged([], low=0)
    """Iteration of the weights (default: the best by criterion of those that were kept). The
    predictions of several, [4000,6000], are averaged."""
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
    mirror: bool = False
    """Average the predictions of all mirror images of the volume: 8 times the work, 4 times in
    2D."""
    padding: Padding = Padding.mirror
    """What the network sees beyond the border of the volume: mirrored voxels, or raw values of
    0."""
    device: str = "auto"
    """cpu, cuda, cuda:1... (default: a GPU if there is one)."""
    dtype: Precision = Precision.float16
    """Type of the stored prediction; uint8: values between the bounds, which are written into the
    output, in 255 steps."""
    output: str
    """The new image, like NAME.ome.zarr."""
    num_workers: int = ranged(1, low=1)
    """Processes that work on blocks at the same time; they share the GPUs, or the cores."""
    workers: str | None = None
    """Launcher of SLURM for the processes, each a job of its own: slurm_gpu, slurm_cpu or a yaml
    of your own in a folder hydra/launcher (default: processes on this machine)."""
    launcher: dict[str, Any] = field(default_factory=dict)
    """Options of workers, those of hydra.launcher, such as launcher={partition: gpu}."""
    overwrite: bool = False
    """Replace an output that exists."""
    version: str = "0.5"
    """Version of OME-Zarr: 0.5 (zarr 3) or 0.4 (zarr 2)."""
    chunk: int = ranged(64, low=1)
    """Edge of a chunk, in voxels."""
    levels: int | None = ranged(None, low=1)
    """Number of pyramid levels (default: until a level fits into one chunk)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if "://" in self.output:
            raise InputError(f"output={self.output}: an output is a path here, not a URL")
        if Path(self.output).suffix != ".zarr":
            raise InputError(f"output={self.output}: the name must end in .zarr, as in a.ome.zarr")
        if self.version not in ("0.4", "0.5"):
            raise InputError(f"version={self.version}: choose 0.4 or 0.5")
        if self.launcher and self.workers is None:
            raise InputError("launcher sets options of workers: give workers=slurm_gpu as well")


@config(None)
@dataclass(kw_only=True)
class PredictConfig(VolumeOptions):
    """Predict a volume of any size with a run, block by block, as an OME-Zarr image.

    Rerun the same command to resume: finished blocks are kept.
    """

    block: int | None = ranged(None, low=1)
    """Edge of the blocks that are computed and kept at a time, in voxels, rounded to whole chunks
    (default: one for which the network computes little twice)."""
    check_seams: bool = False
    """First predict a part in blocks of two grids and as a whole, and refuse to go on where these
    differ by more than 1e-4."""


def main() -> None:
    """The command line."""
    run_command(PredictConfig, predict_command)


def predict_command(options: PredictConfig) -> None:
    """Predict, and report how fast."""
    import json
    import time

    import numpy as np

    from dacapo.arrays.kept import check_output, finish, kept_output, made_by
    from dacapo.arrays.write import FORMATS, fill_ome_zarr
    from dacapo.inference.jobs import open_jobs, predict_into
    from dacapo.inference.seams import MAX_SEAM, largest_seam
    from dacapo.inference.volumes import check_apart, prepare, provenance, warn_of_space
    from dacapo.training.terminal import block_progress, console, duration, resumable

    output = Path(options.output)
    check_apart(output, options.input)
    before = made_by(output)
    check_output(output, options.overwrite or before is not None)
    jobs = open_jobs(options)
    prepared = prepare(options)
    stored, chunk = prepared.stored(), prepared.chunk
    origin = provenance(prepared)
    if before == origin and not options.overwrite:
        finish(output)
        console.print(f"{output} is finished; overwrite=true predicts it again")
        return
    edge = prepared.edge(options.block)
    console.print(f"{prepared}: {list(stored.source.shape)} {stored.dtype}, {stored.extent()}")
    if options.check_seams:
        seam = largest_seam(prepared.prediction, edge)
        console.print(f"largest difference between blocks and the whole: {seam:.2g}")
        if seam > MAX_SEAM:
            raise InputError(f"the prediction depends on the blocks: by {seam:.2g} at most")
    warn_of_space(output, [stored])
    begin = time.perf_counter()
    with (
        resumable(),
        block_progress() as progress,
        kept_output(output, json.dumps(origin), options.overwrite, progress, edge) as blocks,
    ):
        if blocks.num_done:
            console.print(f"resuming: {blocks.num_done} blocks were done before")
        predict_into(
            blocks.folder / "0", stored, prepared, edge, blocks, "level 0",
            FORMATS[options.version], jobs,
        )  # fmt: skip
        fill_ome_zarr(
            blocks.folder, stored, version=options.version, levels=options.levels, chunk=chunk,
            blocks=blocks, attributes={"dacapo": origin},
        )  # fmt: skip
    seconds = time.perf_counter() - begin
    speed = blocks.share * np.prod(stored.shape) / 1e6 / seconds
    console.print(f"{output}: {duration(seconds)}, {speed:.3g} Mvoxel/s")


if __name__ == "__main__":
    main()
