"""`python -m dacapo.segment run=NAME/0 input=vol.h5:raw output=segmentation.ome.zarr`."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import Enum
from pathlib import Path
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
    best in validation)."""
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
    """Segment, and report how many objects there are."""
    import json
    import time

    from dacapo.arrays.kept import check_output, finish, kept_output, made_by
    from dacapo.arrays.write import FORMATS, fill_ome_zarr
    from dacapo.inference.jobs import open_jobs, predict_into, segment_into, segmentation_of
    from dacapo.inference.object_tables import table_names, write_tables
    from dacapo.inference.volumes import (
        check_apart,
        open_prediction,
        prepare,
        provenance,
        warn_of_space,
    )
    from dacapo.training.terminal import block_progress, console, duration, resumable

    output = Path(options.output)
    check_apart(output, options.input or str(options.prediction))
    before = made_by(output)
    check_output(output, options.overwrite or before is not None)
    jobs = open_jobs(options)
    prepared = prepare(options) if options.input else open_prediction(options)
    post_processor, setting = prepared.model.choose_parameters(options.parameters)
    makes = post_processor.blockwise(setting).makes
    tables = table_names(output, makes, options.tables.value)
    origin = provenance(prepared)
    origin["parameters"] = vars(setting)
    if before == origin and not options.overwrite:
        finish(output)
        console.print(f"{output} is finished; overwrite=true makes it again")
        return
    console.print(f"{prepared}, {setting}: {prepared.prediction.extent()}")
    warn_of_space(output, [prepared.prediction] if options.input else [])
    begin = time.perf_counter()
    with (
        resumable(),
        block_progress() as progress,
        kept_output(
            output, json.dumps(origin), options.overwrite, progress, beside=tables
        ) as blocks,
    ):
        prediction = prepared.prediction
        if options.input:
            prediction = predict_into(
                blocks.work / "prediction", prepared.stored(), prepared, prepared.edge(None),
                blocks, "prediction", jobs=jobs,
            )  # fmt: skip
        made = segmentation_of(options, prepared, prediction, blocks.work, blocks)
        blocks.edge = made.grid.edge
        level = blocks.folder / "0"
        labels = segment_into(
            level, made, prediction, options, blocks, FORMATS[options.version], jobs
        )
        written = fill_ome_zarr(
            blocks.folder, labels, is_labels=True, version=options.version, levels=options.levels,
            chunk=options.chunk, blocks=blocks, attributes={"dacapo": origin},
        )  # fmt: skip
        if tables:
            write_tables(written, made.grid, tables, blocks.work / "objects", blocks)
    seconds = time.perf_counter() - begin
    console.print(f"{output}: {made.summary}, {duration(seconds)}")


if __name__ == "__main__":
    main()
