"""Options that describe volumes and the arrays they are derived from."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import Enum

from dacapo.config import Config, config, interval, ranged
from dacapo.errors import InputError


class ArrayKind(Enum):
    """The meaning of voxel values, which decides whether they may be interpolated."""

    intensities = "intensities"
    annotations = "annotations"
    binary = "binary"
    mask = "mask"
    distances = "distances"
    embedding = "embedding"
    probabilities = "probabilities"


class Normalize(Enum):
    """Which raw values are mapped to 0 and 1."""

    range = "range"
    percentile = "percentile"
    zscore = "zscore"


@config(None)
@dataclass(kw_only=True)
class RegionConfig(Config):
    """A part of a volume: half-open [begin, end] per axis, in the volume's unit."""

    z: list[float] | None = None
    """Along the third axis from the end (default: all of it)."""
    y: list[float] | None = None
    """Along the second axis from the end."""
    x: list[float] | None = None
    """Along the last axis."""
    snap: bool = False
    """Move the bounds to the nearest voxel borders inside the volume."""


_ORIGINS = ("open", "concat", "sum", "union", "merge", "constant")


@config(None)
@dataclass(kw_only=True)
class ArrayConfig(Config):
    """An array made from a file or other arrays, then transformed in the order of these fields.

    For another order, use one array in another. Nothing is computed before a crop is read.
    """

    open: str | None = None
    """A file (as in `raw`), or the name of another array."""
    concat: list[str] | None = None
    """Arrays or files whose channels are concatenated."""
    sum: list[str] | None = None
    """Arrays or files to add up."""
    union: list[str] | None = None
    """1 where any of these arrays or files is not 0."""
    merge: list[str] | None = None
    """The objects of several arrays or files, without id collisions; where objects overlap, the
    first array wins."""
    constant: float | None = None
    """This value everywhere, in the region of `like`."""
    like: str | None = None
    """For constant: the array or file that gives the region."""
    voxel_size: list[float] | None = None
    """For open: overrides the file's voxel size."""
    offset: list[float] | None = None
    """For open: corner of the first voxel; overrides the file's offset."""
    unit: str | None = None
    """For open: unit of voxel size, offset and level; overrides the file's unit."""
    axes: str | None = None
    """For open: one letter per axis as stored, like tczyx or zyx."""
    level: list[float] | None = None
    """For open: the voxel size of the pyramid level (default: the finest)."""
    time: int | None = None
    """For open: the time point."""
    kind: ArrayKind | None = None
    """Decides how voxels are resampled (default: implied by the use of the array)."""
    channels: list[int] | None = None
    """Keep these channels."""
    region: RegionConfig | None = None
    """Keep this part."""
    resample: list[float] | None = None
    """New voxel size, in the volume's unit."""
    clip: list[float] | None = interval(None, strict=True)
    """Clip to the lowest and highest value."""
    relabel: dict[int, int] = field(default_factory=dict)
    """Old id -> new id; other ids are kept."""
    groups: dict[str, list[int]] = field(default_factory=dict)
    """Class -> ids: the ids become 1, 2... in the order of the classes, all others 0."""
    ids: list[int] | None = None
    """1 where the id is one of these, else 0; [] means all ids but 0."""
    ignore_ids: list[int] | None = None
    """A mask of annotation: 0 where the id is one of these, else 1."""
    pad: list[float] | None = None
    """Width of a border of voxels to add on each side, in the volume's unit."""
    pad_value: float = 0.0
    """Value of the added voxels."""

    def check(self, key: str) -> None:
        """Refuse an array without a source, or with two."""
        given = [name for name in _ORIGINS if getattr(self, name) is not None]
        if len(given) != 1:
            raise InputError(
                f"{key}: give one of {', '.join(_ORIGINS)}"
                + (f", not {' and '.join(given)}" if given else "")
            )
        if (self.constant is None) != (self.like is None):
            raise InputError(f"{key}: constant and like must be given together")
        if self.open is None:
            for name in ("voxel_size", "offset", "unit", "axes", "level", "time"):
                if getattr(self, name) is not None:
                    raise InputError(f"{key}.{name} is for open, not for {given[0]}")


@config(None)
@dataclass(kw_only=True)
class VolumeConfig(Config):
    """One volume; options that it does not set are taken from the data split."""

    raw: str | None = None
    """Intensities: file.h5:dataset, store.zarr/array, image.ome.zarr, stack.tif, a URL, or the name
    of one of datasplit.arrays."""
    gt: str | None = None
    """Ids of objects or of classes, 0 for background."""
    mask: str | None = None
    """Nonzero where annotated (default: everywhere)."""
    weight: str | None = None
    """Factor of the loss at each voxel of the labels (default: 1)."""
    region: RegionConfig | None = None
    """The labels to use (default: all); raw is read beyond it as context."""
    voxel_size: list[float] | None = None
    """Overrides the voxel size of the volume's files, per axis (z, y, x)."""
    resample: list[float] | None = None
    """New voxel size of the volume, in its unit: raw and weight are interpolated, labels and mask
    are not."""
    classes: list[str] | None = None
    """The classes of the task that are annotated in this volume (default: all)."""
    skeletons: str | None = None
    """Traced neurites to score with task.run_length: an .swc file or a folder of them, in the
    volume's unit."""
    sample_points: str | None = None
    """Each training crop contains one of these points: a CSV file with the columns z, y, x in the
    volume's unit."""
    sampling_weight: float | None = ranged(None, above=0)
    """How often crops are drawn from this volume, relative to others (default: by the number of
    annotated voxels)."""


ARRAY_KEYS = tuple(
    f.name for f in fields(VolumeConfig) if f.name in ("raw", "gt", "mask", "weight")
)
