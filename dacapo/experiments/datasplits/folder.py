"""Volumes in the folders train, validate and test."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dacapo.config import config
from dacapo.errors import InputError
from dacapo.experiments.datasplits.files import PARTS, FilesDataSplitConfig, Volumes
from dacapo.experiments.datasplits.volume_config import VolumeConfig

if TYPE_CHECKING:
    from dacapo.experiments.datasplits.array_opener import ArrayOpener

_CONTAINERS = (".zarr", ".n5")


@config("datasplit")
@dataclass(kw_only=True)
class FolderDataSplitConfig(FilesDataSplitConfig):
    """A folder with train/, validate/ and, if wanted, test/.

    Each holds either containers (a.h5, b.zarr) with the arrays that raw, gt and mask name, or the
    folders raw/, gt/ and, if wanted, mask/, with files or image folders of equal names.
    """

    path: str
    """The folder."""
    raw: str | None = "raw"
    """Path inside each container."""
    gt: str | None = "labels"
    """Path inside each container."""

    def volumes(self, opener: ArrayOpener) -> Volumes:
        root = Path(self.path)
        if not root.is_dir():
            raise InputError(f"datasplit.path={self.path}: no such folder")
        found = {part: self._part(root / part) for part in PARTS}
        for part in PARTS[:2]:
            if not found[part]:
                raise InputError(f"datasplit.path={self.path}: no volumes in {root / part}")
        return found

    def _part(self, folder: Path) -> dict[str, VolumeConfig]:
        if not folder.is_dir():
            return {}
        if (folder / "raw").is_dir() and (folder / "gt").is_dir():
            return self._pairs(folder)
        volumes = {}
        for path in _visible(folder):
            if path.suffix.lower() in (".h5", ".hdf5", *_CONTAINERS):
                colon = "/" if path.suffix.lower() in _CONTAINERS else ":"
                inner = {k: getattr(self, k) for k in ("raw", "gt", "mask", "weight")}
                paths: dict[str, Any] = {k: f"{path}{colon}{v}" for k, v in inner.items() if v}
                volumes[_name(path)] = VolumeConfig(**paths)
        return volumes

    def _pairs(self, folder: Path) -> dict[str, VolumeConfig]:
        by_name: dict[str, dict[str, Path]] = {
            what: {_name(p): p for p in _visible(folder / what)}
            for what in ("raw", "gt", "mask", "weight")
            if (folder / what).is_dir()
        }
        for what, files in by_name.items():
            lone = sorted(set(files) ^ set(by_name["raw"]))
            if lone and what in ("raw", "gt"):
                raise InputError(
                    f"datasplit.path={self.path}: {folder / 'raw'} and {folder / what} hold other "
                    f"names, such as {lone[0]}"
                )
        volumes = {}
        for name in by_name["raw"]:
            paths: dict[str, Any] = {w: str(f[name]) for w, f in by_name.items() if name in f}
            volumes[name] = VolumeConfig(**paths)
        return volumes


def _visible(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if not p.name.startswith("."))


def _name(path: Path) -> str:
    """The name without suffixes: a.ome.zarr and a.nii.gz give a."""
    return path.name.split(".")[0]
