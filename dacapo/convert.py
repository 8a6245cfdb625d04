"""`python -m dacapo.convert image=stack.tif output=volume.ome.zarr`: any volume as OME-Zarr."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dacapo.cli import run_command
from dacapo.config import Config, config, ranged


@config(None)
@dataclass(kw_only=True)
class ConvertConfig(Config):
    """Write a volume, optionally with labels, as an OME-Zarr image with a pyramid."""

    image: str
    """Any volume that can be read: file.h5:dataset, stack.tif, a folder of images, a URL..."""
    output: str
    """The new image, like volume.ome.zarr."""
    labels: str | None = None
    """Labels of the image, any volume that can be read."""
    voxel_size: list[float] | None = None
    """Overrides the files' metadata, per axis (z, y, x)."""
    offset: list[float] | None = None
    """Corner of the first voxel; overrides the files' metadata."""
    unit: str | None = None
    """Unit of voxel_size and offset: nm, um, pixel..."""
    axes: str | None = None
    """One letter per axis of the image as stored, like tczyx."""
    version: str = "0.4"
    """Version of OME-Zarr: 0.4 (zarr 2) or 0.5 (zarr 3)."""
    levels: int | None = ranged(None, low=1)
    """Number of pyramid levels (default: until a level fits into one chunk)."""
    chunk: int = ranged(64, low=1)
    """Edge of a chunk, in voxels."""
    shard: int | None = ranged(None, low=1)
    """Edge of a shard, a file of many chunks, in voxels (version 0.5)."""


def main() -> None:
    """The command line."""
    run_command(ConvertConfig, convert)


def convert(options: ConvertConfig) -> None:
    """Read, write, and report what was written."""
    from dacapo.arrays import open_array
    from dacapo.arrays.write import write_ome_zarr
    from dacapo.training.terminal import console

    grid = {"voxel_size": options.voxel_size, "offset": options.offset, "unit": options.unit}
    image = open_array(options.image, axes=options.axes, key="image", **grid)  # type: ignore[arg-type]
    labels = {}
    if options.labels is not None:
        labels["labels"] = open_array(options.labels, key="labels", **grid)  # type: ignore[arg-type]
    write_ome_zarr(
        Path(options.output), image, labels=labels, version=options.version, levels=options.levels,
        chunk=options.chunk, shard=options.shard,
    )  # fmt: skip
    console.print(f"{options.output}: {list(image.source.shape)} {image.dtype}, {image.extent()}")


if __name__ == "__main__":
    main()
