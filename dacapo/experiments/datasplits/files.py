"""Options that all data splits of files share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dacapo.config import config, interval, ranged
from dacapo.errors import InputError
from dacapo.experiments.datasplits.datasplit_config import DataSplitConfig
from dacapo.experiments.datasplits.volume_config import (
    ArrayConfig,
    ArrayKind,
    Normalize,
    VolumeConfig,
)

if TYPE_CHECKING:
    import numpy as np

    from dacapo.arrays import Array
    from dacapo.experiments.datasplits.array_opener import ArrayOpener
    from dacapo.experiments.datasplits.datasets import Dataset
    from dacapo.experiments.datasplits.datasets.dataset import Level
    from dacapo.experiments.datasplits.datasplit import DataSplit
    from dacapo.ops.run_length import Skeletons

PARTS = ("train", "validate", "test")
Volumes = Mapping[str, Mapping[str, VolumeConfig]]


@config(None)
@dataclass(kw_only=True)
class FilesDataSplitConfig(DataSplitConfig):
    """How volumes in files are read."""

    raw: str | None = None
    """For every volume that gives none of its own."""
    gt: str | None = None
    """For every volume that gives none of its own."""
    mask: str | None = None
    """For every volume that gives none of its own."""
    weight: str | None = None
    """For every volume that gives none of its own."""
    arrays: dict[str, ArrayConfig] = field(default_factory=dict)
    """Name -> an array derived from files or other arrays; volumes can use the name like a file."""
    voxel_size: list[float] | None = None
    """Overrides the files' metadata, per axis (z, y, x)."""
    offset: list[float] | None = None
    """Corner of the first voxel; overrides the files' metadata."""
    unit: str | None = None
    """Unit of voxel sizes, offsets and regions (nm, um, pixel...); overrides the files'
    metadata."""
    level: list[float] | None = None
    """Open the level of this voxel size in every pyramid (default: the finest)."""
    time: int | None = ranged(None, low=0)
    """Time point of files that have several."""
    resample: list[float] | None = None
    """New voxel size of every volume, as a volume's own `resample`."""
    normalize: Normalize = Normalize.range
    """Which raw values are mapped to 0 and 1. range: 0 and 255 for 8 bits, else the minimum and
    maximum. percentile: those of `percentiles`. zscore: mean and mean + standard deviation."""
    percentiles: list[float] = interval([0.5, 99.5], low=0, high=100, strict=True)
    """For normalize=percentile."""
    intensity_range: list[float] | None = interval(None, strict=True)
    """Raw values that are mapped to 0 and 1, instead of normalize."""
    ignore_label: int | None = None
    """Voxels with this label are not annotated."""
    may_overlap: list[str] = field(default_factory=list)
    """Pairs of volumes, like left+right, whose labels may overlap or touch across the splits."""
    in_memory_mib: int = ranged(2048, low=0, identity=False)
    """Memory for whole arrays, in MiB; arrays that do not fit stay on disk."""
    cache_mib: int = ranged(512, low=0, identity=False)
    """Memory for decoded chunks of arrays on disk, in MiB; each HDF5 file and each folder of images
    may use an eighth of it in addition."""
    timeout: float = ranged(60.0, above=0, identity=False)
    """Seconds to wait for a remote store."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for pair in self.may_overlap:
            if len(pair.split("+")) != 2:
                raise InputError(f"datasplit.may_overlap={pair}: name two volumes, like left+right")

    @abstractmethod
    def volumes(self, opener: ArrayOpener) -> Volumes:
        """Part (train, validate, test) -> name -> volume."""

    def build(self) -> DataSplit:
        from dacapo.experiments.datasplits.datasplit import DataSplit

        opener = self._opener()
        parts = self._datasets(opener, self.volumes(opener))
        return DataSplit(
            parts["train"], parts["validate"], parts.get("test", []),
            [tuple(pair.split("+")) for pair in self.may_overlap],
        )  # fmt: skip

    def build_part(self, part: str, volumes: Mapping[str, VolumeConfig]) -> list[Dataset]:
        opener = self._opener()
        named = volumes or self.volumes(opener).get(part, {})
        return self._datasets(opener, {part: named})[part]

    def _opener(self) -> ArrayOpener:
        from dacapo.arrays import ReadOptions
        from dacapo.experiments.datasplits.array_opener import ArrayOpener

        grid = {k: getattr(self, k) for k in ("voxel_size", "offset", "unit", "level", "time")}
        options = ReadOptions(timeout=self.timeout, cache_mib=self.cache_mib)
        return ArrayOpener(self.arrays, grid, options, "datasplit.arrays")

    def _datasets(self, opener: ArrayOpener, parts: Volumes) -> dict[str, list[Dataset]]:
        memory = _Memory(self.in_memory_mib * 2**20)
        return {
            part: [
                self._dataset(
                    f"datasplit.{part}.{name}", name, volume, opener, memory, part != "test"
                )
                for name, volume in volumes.items()
            ]
            for part, volumes in parts.items()
        }

    def _dataset(
        self,
        key: str,
        name: str,
        volume: VolumeConfig,
        opener: ArrayOpener,
        memory: _Memory,
        may_read: bool,
    ) -> Dataset:
        from dacapo.experiments.datasplits.array_opener import in_region
        from dacapo.experiments.datasplits.datasets import Dataset

        kinds = {
            "raw": ArrayKind.intensities,
            "gt": ArrayKind.annotations,
            "mask": ArrayKind.mask,
            "weight": ArrayKind.probabilities,
        }
        arrays: dict[str, Array] = {}
        for what, kind in kinds.items():
            path = getattr(volume, what) or getattr(self, what)
            if path is None and what in ("raw", "gt"):
                raise InputError(f"{key}.{what} is missing (and datasplit.{what} too)")
            if path is not None:
                arrays[what] = opener.open(
                    path, f"{key}.{what}", kind, voxel_size=volume.voxel_size
                )
        if not arrays["raw"].is_placed:
            arrays["raw"] = opener.on_grid_of(arrays["raw"], arrays["gt"])
        for what in arrays.keys() - {"raw"}:
            arrays[what] = opener.on_grid_of(arrays[what], arrays["raw"])
        own = volume.resample is not None
        if size := volume.resample if own else self.resample:
            at = f"{key}.resample" if own else "datasplit.resample"
            arrays = {w: opener.resampled(a, size, kinds[w], at) for w, a in arrays.items()}
        if volume.region is not None:
            arrays["gt"] = in_region(arrays["gt"], volume.region, f"{key}.region")
        arrays = {what: memory.keep(array, may_read) for what, array in arrays.items()}
        raw, gt = arrays["raw"], arrays["gt"]
        return Dataset(
            name,
            raw,
            gt,
            arrays.get("mask"),
            arrays.get("weight"),
            self._points(volume, gt, f"{key}.sample_points"),
            intensity_range=self._range(raw),
            ignore_label=self.ignore_label,
            classes=volume.classes,
            skeletons=self._skeletons(volume, gt, f"{key}.skeletons"),
            sampling_weight=volume.sampling_weight,
        )

    def _range(self, raw: Array) -> tuple[Level, Level]:
        """Raw values that are mapped to 0 and 1."""
        from dacapo.experiments.datasplits.datasets.statistics import check_finite, find_range

        if self.intensity_range is None:
            low, high = self.percentiles
            return find_range(raw, self.normalize.value, (low, high))
        check_finite(raw)
        low, high = self.intensity_range
        return low, high

    def _points(
        self, volume: VolumeConfig, gt: Array, key: str
    ) -> np.ndarray[tuple[int, int], np.dtype[np.int64]] | None:
        from pathlib import Path

        from dacapo.arrays.formats.points import read_points

        if volume.sample_points is None:
            return None
        return read_points(Path(volume.sample_points), gt.axis_names, gt.unit, key)

    def _skeletons(self, volume: VolumeConfig, gt: Array, key: str) -> Skeletons | None:
        from pathlib import Path

        from dacapo.arrays.formats.swc import read_swc

        if volume.skeletons is None:
            return None
        if gt.dims != 3:
            raise InputError(f"{key}={volume.skeletons}: skeletons need a 3D volume")
        return read_swc(Path(volume.skeletons), gt.unit, key)


class _Memory:
    """Reads arrays into memory, each once, as long as there is room."""

    def __init__(self, size: int) -> None:
        self._left = size
        self._kept: dict[int, tuple[Array, Array]] = {}

    def keep(self, array: Array, may_read: bool) -> Array:
        """The array, in memory if it fits."""
        known = self._kept.get(id(array))
        if known is None:
            fits = may_read and array.nbytes <= self._left
            self._left -= array.nbytes if fits else 0
            known = self._kept[id(array)] = array, array.in_memory() if fits else array
        return known[1]
