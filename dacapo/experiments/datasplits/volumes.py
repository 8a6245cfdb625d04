"""Volumes listed by name."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dacapo.config import config
from dacapo.errors import InputError
from dacapo.experiments.datasplits.files import PARTS, FilesDataSplitConfig, Volumes
from dacapo.experiments.datasplits.volume_config import VolumeConfig

if TYPE_CHECKING:
    from dacapo.experiments.datasplits.array_opener import ArrayOpener


@config("datasplit")
@dataclass(kw_only=True)
class VolumesDataSplitConfig(FilesDataSplitConfig):
    """Volumes listed by name: HDF5, zarr, OME-Zarr, N5, precomputed, TIFF, NIfTI, NRRD or
    images."""

    train: dict[str, VolumeConfig] = field(default_factory=dict)
    """Name -> volume."""
    validate: dict[str, VolumeConfig] = field(default_factory=dict)
    """Name -> volume."""
    test: dict[str, VolumeConfig] = field(default_factory=dict, metadata={"identity": False})
    """Name -> volume; scored only by `dacapo.compare test=true`, to which they can be given as
    well."""

    def __post_init__(self) -> None:
        super().__post_init__()
        shadowed: dict[str, list[str]] = {}
        for part in PARTS:
            volumes = getattr(self, part)
            if not volumes and part != "test":
                raise InputError(
                    f"datasplit.{part} is empty: name at least one volume, like "
                    f"'datasplit.{part}={{a: {{raw: vol.h5:raw, gt: vol.h5:labels}}}}'"
                )
            for key in ("raw", "gt"):
                own = [getattr(volume, key) for volume in volumes.values()]
                if getattr(self, key) is not None and own and None not in own:
                    shadowed.setdefault(key, []).append(part)
            for name, volume in volumes.items():
                for key in ("raw", "gt"):
                    if getattr(volume, key) is None and getattr(self, key) is None:
                        raise InputError(
                            f"datasplit.{part}.{name}.{key} is missing (and datasplit.{key} too)"
                        )

        used = [part for part in PARTS if getattr(self, part)]
        for key, parts in shadowed.items():
            if parts == used:
                raise InputError(
                    f"datasplit.{key}={getattr(self, key)} is not used: every volume has its own, "
                    f"such as datasplit.train.{next(iter(self.train))}.{key}"
                )

    def volumes(self, opener: ArrayOpener) -> Volumes:
        return {part: getattr(self, part) for part in PARTS}
