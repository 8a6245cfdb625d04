"""`python -m dacapo.convert image=stack.tif output=volume.ome.zarr`: any volume as OME-Zarr."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from dacapo.config import config, from_arguments
from dacapo.errors import InputError, one_line_errors


@config(None)
@dataclass(kw_only=True)
class ConvertConfig:
    """Write a volume, and labels beside it, as an OME-Zarr image with a pyramid."""

    image: str
    """Any volume that can be read: file.h5:dataset, stack.tif, a folder of images, a URL..."""
    output: str
    """The new image, like volume.ome.zarr."""
    labels: str | None = None
    """Labels of the image, any volume that can be read."""
    voxel_size: list[float] | None = None
    """Instead of what the files say, an axis (z, y, x)."""
    offset: list[float] | None = None
    """Corner of the first voxel, instead of what the files say."""
    unit: str | None = None
    """Of voxel size and offset: nm, um, pixel..."""
    axes: str | None = None
    """A letter for each axis of the image as it is stored, like tczyx."""
    version: str = "0.4"
    """0.4 (zarr 2) or 0.5 (zarr 3)."""
    levels: int | None = None
    """Of the pyramid (default: until a level fits into one chunk)."""
    chunk: int = 64
    """Edge of a chunk, in voxels."""
    shard: int | None = None
    """Edge of a file of many chunks, in voxels (version 0.5)."""

    def __post_init__(self) -> None:
        for key in ("levels", "chunk", "shard"):
            value = getattr(self, key)
            if value is not None and value < 1:
                raise InputError(f"{key}={value} must be at least 1")


def main() -> None:
    """The command line."""
    with one_line_errors():
        asked = from_arguments(ConvertConfig, sys.argv[1:])
        if asked is not None:
            convert(asked)


def convert(asked: ConvertConfig) -> None:
    """Read, write, and say what was written."""
    from dacapo.arrays import open_array
    from dacapo.arrays.write import write_ome_zarr
    from dacapo.training.terminal import console

    grid = {"voxel_size": asked.voxel_size, "offset": asked.offset, "unit": asked.unit}
    image = open_array(asked.image, axes=asked.axes, key="image", **grid)  # type: ignore[arg-type]
    labels = {}
    if asked.labels is not None:
        labels["labels"] = open_array(asked.labels, key="labels", **grid)  # type: ignore[arg-type]
    write_ome_zarr(
        Path(asked.output), image, labels=labels, version=asked.version, levels=asked.levels,
        chunk=asked.chunk, shard=asked.shard,
    )  # fmt: skip
    console.print(f"{asked.output}: {list(image.source.shape)} {image.dtype}, {image.extent()}")


if __name__ == "__main__":
    main()
