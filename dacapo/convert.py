"""`python -m dacapo.convert image=stack.tif output=volume.ome.zarr`: as OME-Zarr, or as TIFF."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from dacapo.cli import run_command
from dacapo.config import Config, config, ranged
from dacapo.errors import InputError
from dacapo.processes.files import check_writable

if TYPE_CHECKING:
    from dacapo.arrays.array import Array


_EDGE, _NUM_BLOCKS = 64, 32
"""Size and number of the blocks by which an image is told from labels."""
_MIN_PAIRS = 1000
_MAX_IN_LABELS, _MIN_IN_IMAGES = 0.25, 0.55
"""Share of neighbouring voxels that differ: at most 0.05 in real labels, at least 0.6 in raw."""


class Kind(Enum):
    """What voxels mean."""

    image = "image"
    labels = "labels"


@config(None)
@dataclass(kw_only=True)
class ConvertConfig(Config):
    """Write a volume, optionally with labels, as an OME-Zarr image with a pyramid, or as a TIFF."""

    image: str
    """Any volume that can be read: file.h5:dataset, stack.tif, a folder of images, a URL..."""
    output: str
    """The new image, like volume.ome.zarr, or volume.tif."""
    kind: Kind | None = None
    """image or labels: whether coarser levels take the mean of voxels, or one of their ids
    (default: by the voxels)."""
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
    time: int | None = ranged(None, low=0)
    """Time point of an image that has several."""
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
    from dacapo.arrays import open_array, views
    from dacapo.arrays.write import write_ome_zarr, write_tiff
    from dacapo.training.terminal import console

    output = Path(options.output)
    is_tiff = output.suffix.lower() in (".tif", ".tiff")
    if not is_tiff and output.suffix.lower() != ".zarr":
        raise InputError(f"output={output}: the name must end in .ome.zarr, or in .tif for a TIFF")
    if is_tiff and options.labels is not None:
        raise InputError("labels: a TIFF holds one volume: convert the labels by themselves")
    check_writable(output.parent, "output")
    if output.exists():
        raise InputError(f"output={output} exists already")
    grid = {"voxel_size": options.voxel_size, "offset": options.offset, "unit": options.unit}
    image = open_array(
        options.image, axes=options.axes, time=options.time, key="image", **grid  # type: ignore[arg-type]
    )  # fmt: skip
    labels = {}
    if options.labels is not None:
        labels["labels"] = views.upright(open_array(options.labels, key="labels", **grid))  # type: ignore[arg-type]
    if flipped := [name for name in image.axis_names if name.startswith("-")]:
        console.print(f"flipped, as positions decrease along these axes: {', '.join(flipped)}")
    image = views.upright(image)
    if is_tiff:
        write_tiff(output, image)
    else:
        if options.kind is Kind.labels and image.dtype.kind not in "iub":
            raise InputError(f"kind=labels: {image.name} holds {image.dtype}, and ids are integers")
        is_labels = _holds_labels(image) if options.kind is None else options.kind is Kind.labels
        how = "labels, with ids" if is_labels else "an image, with means"
        console.print(f"written as {how} in coarser levels")
        write_ome_zarr(
            output, image, labels=labels, is_labels=is_labels, version=options.version,
            levels=options.levels, chunk=options.chunk, shard=options.shard,
        )  # fmt: skip
    console.print(f"{options.output}: {list(image.source.shape)} {image.dtype}, {image.extent()}")


def _holds_labels(image: Array) -> bool:
    """Whether voxels are ids: integers that mostly equal their neighbours.

    Raises:
        InputError: that cannot be told.
    """
    import numpy as np

    from dacapo.arrays.views import neighbours, sample_blocks

    if image.dtype.kind not in "iub" or prod(image.channel_shape) > 1:
        return False
    blocks = [image.read(block) for block in sample_blocks(image, _EDGE, _NUM_BLOCKS)]
    values, counts = np.unique(np.concatenate([b.ravel() for b in blocks]), return_counts=True)
    if image.dtype.kind == "b" or set(values.tolist()) <= {0, 1, 255}:
        return True  # a mask
    # Saturated and padded voxels are equal in images, too.
    saturated = {0, np.iinfo(image.dtype).max, values[values != 0][counts[values != 0].argmax()]}
    pairs = np.array([neighbours(b, ~np.isin(b, [*saturated])) for b in blocks]).sum(axis=0)
    share = pairs[1] / max(1, pairs[0])
    if pairs[0] < _MIN_PAIRS or _MAX_IN_LABELS < share < _MIN_IN_IMAGES:
        raise InputError(
            f"{image.name}: its voxels do not tell whether they are labels or an image: set "
            f"kind=labels or kind=image"
        )
    return bool(share <= _MAX_IN_LABELS)


if __name__ == "__main__":
    main()
