"""Volumes that lie on the disk."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dacapo.config import config, not_identity
from dacapo.errors import InputError
from dacapo.experiments.datasplits.datasplit_config import DataSplitConfig

if TYPE_CHECKING:
    from dacapo.arrays import Array
    from dacapo.experiments.datasplits.datasets import Dataset
    from dacapo.experiments.datasplits.datasplit import DataSplit
    from dacapo.ops.run_length import Skeletons


@config(None)
@dataclass(kw_only=True)
class RegionConfig:
    """A part of a volume: half-open [begin, end] an axis, in the volume's unit."""

    z: list[float] | None = None
    """Along the third axis from the end (default: all of it)."""
    y: list[float] | None = None
    """Along the second axis from the end."""
    x: list[float] | None = None
    """Along the last axis."""


@config(None)
@dataclass(kw_only=True)
class VolumeConfig:
    """One volume; what it does not give is taken from the datasplit."""

    raw: str | None = None
    """Intensities: file.h5:dataset, store.zarr/array or image.ome.zarr."""
    gt: str | None = None
    """Ids of objects or of classes, 0 for background."""
    mask: str | None = None
    """Nonzero where annotated (default: everywhere)."""
    region: RegionConfig | None = None
    """The labels to use (default: all); raw is read beyond it as context."""
    classes: list[str] | None = None
    """The only classes of the task that are annotated here (default: all)."""
    skeletons: str | None = None
    """Traced neurites to score with task.run_length: an .swc file or a folder of them, in the
    volume's unit."""


@config("datasplit")
@dataclass(kw_only=True)
class VolumesDataSplitConfig(DataSplitConfig):
    """Volumes of HDF5 files and of zarr or OME-Zarr stores."""

    train: dict[str, VolumeConfig] = field(default_factory=dict)
    """Name -> volume."""
    validate: dict[str, VolumeConfig] = field(default_factory=dict)
    """Name -> volume."""
    raw: str | None = None
    """For every volume that gives none of its own."""
    gt: str | None = None
    """For every volume that gives none of its own."""
    mask: str | None = None
    """For every volume that gives none of its own."""
    voxel_size: list[float] | None = None
    """Instead of what the files say, an axis."""
    offset: list[float] | None = None
    """Corner of the first voxel, instead of what the files say."""
    unit: str | None = None
    """Of voxel size, offset and regions, instead of what the files say: nm, um, pixel..."""
    intensity_range: list[float] | None = None
    """Raw values that become 0 and 1 (default: 0 and 255 for 8 bits, else the volume's range)."""
    ignore_label: int | None = None
    """Labels of this id are not annotated."""
    in_memory_mib: int = not_identity(2048)
    """Arrays up to this size are read into memory once; larger ones stay on the disk."""

    def __post_init__(self) -> None:
        for part in ("train", "validate"):
            volumes = getattr(self, part)
            if not volumes:
                raise InputError(
                    f"datasplit.{part} is empty: give at least one volume, like "
                    f"'datasplit.{part}={{a: {{raw: vol.h5:raw, gt: vol.h5:labels}}}}'"
                )
            for name, volume in volumes.items():
                for key in ("raw", "gt"):
                    if getattr(volume, key) is None and getattr(self, key) is None:
                        raise InputError(
                            f"datasplit.{part}.{name}.{key} is missing (and datasplit.{key} too)"
                        )
        span = self.intensity_range
        if span is not None and (len(span) != 2 or span[0] >= span[1]):
            raise InputError(
                f"datasplit.intensity_range={span}: give the lower and the higher value"
            )

    def build(self) -> DataSplit:
        from dacapo.experiments.datasplits.datasplit import DataSplit

        opened: dict[str, Array] = {}
        parts = {
            part: [
                self._dataset(f"datasplit.{part}.{name}", name, volume, opened)
                for name, volume in getattr(self, part).items()
            ]
            for part in ("train", "validate")
        }
        self._check_apart(parts)
        return DataSplit(parts["train"], parts["validate"])

    def _check_apart(self, parts: dict[str, list[Dataset]]) -> None:
        """Refuse to validate on labels that are trained on."""
        paths = {p: [volume.gt or self.gt for volume in getattr(self, p).values()] for p in parts}
        for ours, path in zip(parts["validate"], paths["validate"], strict=True):
            for theirs, other in zip(parts["train"], paths["train"], strict=True):
                if path == other and ours.gt.roi.intersects(theirs.gt.roi):
                    raise InputError(
                        f"datasplit.validate.{ours.name} and datasplit.train.{theirs.name} share "
                        f"labels of {path}: give regions that do not overlap"
                    )

    def _dataset(
        self, key: str, name: str, volume: VolumeConfig, opened: dict[str, Array]
    ) -> Dataset:
        from dacapo.experiments.datasplits.datasets.dataset import (
            Dataset,
            check_finite,
            find_range,
        )

        paths = {k: getattr(volume, k) or getattr(self, k) for k in ("raw", "gt", "mask")}
        arrays = {k: self._open(p, f"{key}.{k}", opened) for k, p in paths.items() if p}
        raw = arrays["raw"]
        check_finite(raw)
        gt, mask = arrays["gt"], arrays.get("mask")
        if volume.region is not None:
            gt = _in_region(gt, volume.region, f"{key}.region")
        span = self.intensity_range
        intensity_range = find_range(raw) if span is None else (span[0], span[1])
        return Dataset(
            name,
            raw,
            gt,
            mask,
            intensity_range,
            self.ignore_label,
            volume.classes,
            self._skeletons(volume, gt, f"{key}.skeletons"),
        )

    def _skeletons(self, volume: VolumeConfig, gt: Array, key: str) -> Skeletons | None:
        from pathlib import Path

        from dacapo.arrays.swc import read_swc

        if volume.skeletons is None:
            return None
        if gt.dims != 3:
            raise InputError(f"{key}={volume.skeletons}: skeletons need a volume of three axes")
        return read_swc(Path(volume.skeletons), gt.unit, key)

    def _open(self, path: str, key: str, opened: dict[str, Array]) -> Array:
        from dacapo.arrays import open_array

        if path not in opened:
            array = open_array(
                path, voxel_size=self.voxel_size, offset=self.offset, unit=self.unit, key=key
            )
            small = array.nbytes <= self.in_memory_mib * 2**20
            opened[path] = array.in_memory() if small else array
        return opened[path]


def _in_region(array: Array, region: RegionConfig, key: str) -> Array:
    """The part of an array between the bounds that are given."""
    from funlib.geometry import Roi

    from dacapo.arrays.units import scale_of, to_world

    scale = scale_of(array.unit, key)
    begin, end = list(array.roi.begin), list(array.roi.end)
    for at, axis in enumerate("zyx", start=-3):
        bounds = getattr(region, axis)
        if bounds is None:
            continue
        if -at > array.dims or len(bounds) != 2 or bounds[0] >= bounds[1]:
            raise InputError(
                f"{key}.{axis}={bounds}: give [begin, end] in {array.unit} along one of the "
                f"{array.dims} axes of {array.name}"
            )
        first, last, step = begin[at], end[at], array.voxel_size[at]
        begin[at], end[at] = to_world(bounds, array.unit, [step / scale] * 2, f"{key}.{axis}")
        for value in (begin[at], end[at]):
            if not first <= value <= last or (value - first) % step:
                nearest = min(max(first + round((value - first) / step) * step, first), last)
                raise InputError(
                    f"{key}.{axis}={bounds}: a region begins and ends on voxel borders inside the "
                    f"volume, {first / scale} to {last / scale} {array.unit} in steps of "
                    f"{step / scale}; nearest to {value / scale} is {nearest / scale}"
                )
    return array.crop(Roi(begin, [e - b for b, e in zip(begin, end, strict=True)]))
