"""`python -m dacapo.segment run=NAME/0 input=vol.h5:raw output=segmentation.ome.zarr`."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import Enum
from typing import Any

from dacapo.cli import run_command
from dacapo.config import config, ranged
from dacapo.errors import InputError
from dacapo.predict import VolumeOptions


class TableFormat(Enum):
    """The format of the tables beside a segmentation."""

    csv = "csv"
    parquet = "parquet"


@config(None)
@dataclass(kw_only=True)
class SegmentConfig(VolumeOptions):
    """Segment a volume of any size with a run, block by block, as an OME-Zarr image of ids.

    Objects are numbered from 1, and a table of them is written beside the image. Rerun the same
    command to resume: finished blocks are kept.
    """

    input: str = ""
    """Raw: file.h5:dataset, stack.tif, a zarr, a URL... Not needed with prediction=."""
    prediction: str | None = None
    """What dacapo.predict has written for this run (default: predict first)."""
    parameters: dict[str, Any] = field(default_factory=dict)
    """Parameters of the post-processor, such as parameters={bias: 0.3} (default: those that scored
    best in validation). With several values, {threshold: [0.3, 0.5]}, there is an output for each
    combination, such as NAME.threshold=0.3.ome.zarr."""
    keep: str | None = None
    """Folder that keeps the prediction, the fragments and the graph between them for later commands
    with other parameters, which need no voxel if these only join fragments."""
    block: int | None = ranged(None, low=8)
    """Edge of the blocks, in voxels, rounded to whole chunks (default: 192, in 2D 2048)."""
    halo: int = ranged(32, low=0)
    """What is seen around a block, in voxels, so that it is cut as its neighbours are."""

    tables: TableFormat = TableFormat.csv
    """Format of the tables of objects and contacts; parquet needs dacapo[parquet]."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if bool(self.input) == bool(self.prediction):
            raise InputError("give input= or prediction=, one of them")
        for f in fields(VolumeOptions) if self.prediction else ():
            if f.name in _OF_INPUT and getattr(self, f.name) != f.default:
                raise InputError(f"{f.name} is of input=, and prediction= is given")


_OF_INPUT = (
    "voxel_size", "offset", "unit", "axes", "time", "level", "resample", "intensity_range",
    "mirror", "padding", "dtype",
)  # fmt: skip


def main() -> None:
    """The command line."""
    run_command(SegmentConfig, segment_command)


def segment_command(options: SegmentConfig) -> None:
    """Segment with each setting, and report how many objects there are."""
    from dacapo.inference.jobs import open_jobs
    from dacapo.inference.segmentations import (
        check_outputs,
        kept_folder,
        segment,
        segmentations,
        single_settings,
    )
    from dacapo.inference.volumes import open_prediction, prepare

    every = single_settings(options)
    check_outputs(options, every)
    jobs = open_jobs(options)
    prepared = prepare(options) if options.input else open_prediction(options)
    wanted = segmentations(prepared, every)
    with kept_folder(options, wanted) as keep:
        for each in wanted:
            segment(each, prepared, keep, jobs)


if __name__ == "__main__":
    main()
