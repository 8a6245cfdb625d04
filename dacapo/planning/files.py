"""The files that a plan is made for, and how they become a data split."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from dacapo.arrays.units import from_world
from dacapo.errors import InputError
from dacapo.experiments.datasplits.volumes import VolumesDataSplitConfig

if TYPE_CHECKING:
    from dacapo.experiments.datasplits.datasets import Dataset


_KEYS = re.compile(r"datasplit\.train\.\w+\.(raw|gt|mask)(?==)")
_TYPED = {"raw": "raw", "gt": "labels", "mask": "mask"}


@dataclass(frozen=True)
class Files:
    """Annotated volumes.

    Attributes:
        raw, labels: one or more files each, as in datasplit.raw and datasplit.gt.
        mask: as many, or none.
        common: further options of the data split: voxel_size, unit, ignore_label...
        region: axis -> bounds, in the volume's unit, of the labels of a single volume; empty: all.
    """

    raw: list[str]
    labels: list[str]
    mask: list[str] = field(default_factory=list)
    common: dict[str, Any] = field(default_factory=dict)
    region: dict[str, list[float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for key, paths in (("labels", self.labels), ("mask", self.mask)):
            if len(paths) != len(self.raw) and (paths or key == "labels"):
                raise InputError(
                    f"raw names {len(self.raw)} files and {key} {len(paths)}: give as many, in the "
                    f"same order"
                )

    def open(self) -> list[Dataset]:
        """The volumes, all of each.

        Raises:
            InputError: a file cannot be read, or does not fit the others.
        """
        options: dict[str, Any] = {**self.common, "train": self._volumes()}
        options["validate"] = options["train"]  # not opened
        node = OmegaConf.merge(OmegaConf.structured(VolumesDataSplitConfig), options)
        config = OmegaConf.to_object(node)
        assert isinstance(config, VolumesDataSplitConfig)
        try:
            return list(config.build_part("train", config.train))
        except InputError as error:  # it names the keys of dacapo.train
            raise InputError(_KEYS.sub(lambda m: _TYPED[m[1]], str(error))) from error

    def within(self, dataset: Dataset, kept: Mapping[int, tuple[int, int]]) -> Files:
        """The same with the labels of a part of the volume: axis -> begin and end, in voxels."""
        gt = dataset.gt
        region = {}
        for axis, ends in kept.items():
            size, offset = (from_world(v, gt.unit)[axis] for v in (gt.voxel_size, gt.offset))
            region["zyx"[axis - gt.dims]] = [float(f"{offset + n * size:.10g}") for n in ends]
        return replace(self, region=region)

    def options(self, num_validate: int, num_test: int) -> dict[str, Any]:
        """Key -> value of the data split, without `datasplit.` itself.

        Args:
            num_validate, num_test: volumes, counted from the last one; for several volumes.
        """
        common = {f"datasplit.{key}": value for key, value in self.common.items()}
        volumes = self._volumes()
        if len(volumes) > 1:
            names = list(volumes)
            ends = len(names) - num_validate - num_test, len(names) - num_test
            parts = {
                "train": names[: ends[0]],
                "validate": names[ends[0] : ends[1]],
                "test": names[ends[1] :],
            }
            chosen = {
                f"datasplit.{part}": {name: volumes[name] for name in inside}
                for part, inside in parts.items()
                if inside
            }
            return chosen | common
        (volume,) = volumes.values()
        if self.region:
            labels = {"open": volume["gt"], "region": {**self.region, "snap": True}}
            common["datasplit.arrays"] = {"labels": labels}
            volume["gt"] = "labels"
        return {f"datasplit.{key}": path for key, path in volume.items()} | common

    def _volumes(self) -> dict[str, dict[str, str]]:
        found: dict[str, dict[str, str]] = {}
        masks = self.mask or [""] * len(self.raw)
        for raw, labels, mask in zip(self.raw, self.labels, masks, strict=True):
            volume = {"raw": self._found(raw), "gt": self._found(labels)}
            found[_name(raw, found)] = volume | ({"mask": self._found(mask)} if mask else {})
        return found

    def _found(self, path: str) -> str:
        """A path that holds wherever a command is started, or the name of an array."""
        return path if path in (self.common.get("arrays") or {}) else absolute(path)


def _name(path: str, taken: Mapping[str, Any]) -> str:
    """A name for a volume, made of its file's.

    >>> _name("v1.2/vol 1.h5:raw", {}), _name("b/a.ome.zarr/raw", {"a": 0}), _name("1.tif", {})
    ('vol_1', 'a_2', 'volume_1')
    """
    files = [part for part in re.split(r"[/:]", path) if "." in part.strip(".")]
    stem = re.sub(r"(\.ome)?\.\w+$", "", (files or [Path(path).name])[-1])
    name = re.sub(r"\W+", "_", stem, flags=re.ASCII).strip("_") or "volume"
    name = f"volume_{name}" if name[0].isdigit() else name
    others = (f"{name}_{number}" for number in count(2))
    return name if name not in taken else next(other for other in others if other not in taken)


def absolute(path: str) -> str:
    """A path that holds wherever a command is started; addresses stay as they are."""
    return path if "://" in path else str(Path(path).absolute())
