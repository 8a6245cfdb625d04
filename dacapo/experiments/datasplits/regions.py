"""One annotated volume, cut along an axis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dacapo.config import config, ranged
from dacapo.errors import InputError
from dacapo.experiments.datasplits.files import PARTS, FilesDataSplitConfig, Volumes
from dacapo.experiments.datasplits.volume_config import ArrayKind, RegionConfig, VolumeConfig

if TYPE_CHECKING:
    from dacapo.experiments.datasplits.array_opener import ArrayOpener


@config("datasplit")
@dataclass(kw_only=True)
class RegionsDataSplitConfig(FilesDataSplitConfig):
    """One annotated volume, split along an axis into train, validate and test, with gaps
    between."""

    axis: str = "z"
    """Axis to split along: z, y or x."""
    train: float = ranged(0.7, above=0, below=1)
    """Fraction of the axis, not counting the gaps."""
    validate: float = ranged(0.3, above=0, below=1)
    """Fraction of the axis, not counting the gaps."""
    test: float = ranged(0.0, low=0, high=1)
    """Fraction of the axis, not counting the gaps."""
    buffer: float | None = ranged(None, low=0)
    """Width of the gaps, in the volume's unit (default: 32 voxels)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        shares = [getattr(self, part) for part in PARTS]
        if abs(sum(shares) - 1) > 1e-6:
            raise InputError(
                f"datasplit.train, validate and test are {shares}: give shares that add up to 1"
            )
        if self.axis not in ("z", "y", "x"):
            raise InputError(f"datasplit.axis={self.axis}: give z, y or x")
        for key in ("raw", "gt"):
            if getattr(self, key) is None:
                raise InputError(f"datasplit.{key} is missing")

    def volumes(self, opener: ArrayOpener) -> Volumes:
        from dacapo.arrays.units import scale_of

        assert self.gt is not None, "checked at once"
        assert self.raw is not None, "checked at once"
        raw = opener.open(self.raw, "datasplit.raw", ArrayKind.intensities)
        gt = opener.open(self.gt, "datasplit.gt", ArrayKind.annotations)
        gt = opener.on_grid_of(gt, raw)
        at = "zyx".index(self.axis) - 3
        if -at > gt.dims:
            raise InputError(
                f"datasplit.axis={self.axis}: {gt.name} has {gt.dims} axes; set datasplit.axis=y, "
                f"and for 2D also task=affinities_2d architecture=unet_2d"
            )
        size, num = gt.voxel_size[at], gt.shape[at]
        scale = scale_of(gt.unit, "datasplit.unit")
        gap = 32 if self.buffer is None else -int(-self.buffer * scale // size)
        parts = [part for part in PARTS if getattr(self, part) > 0]
        left = num - gap * (len(parts) - 1)
        lengths = [int(left * getattr(self, part)) for part in parts]
        if gap < 0 or min(lengths) < 1:
            raise InputError(
                f"datasplit.buffer={gap * size / scale} {gt.unit}: the gaps leave nothing of the "
                f"{num * size / scale} {gt.unit} of {gt.name} along {self.axis}"
            )
        volumes: dict[str, dict[str, VolumeConfig]] = {}
        begin = 0
        for part, length in zip(parts, lengths, strict=True):
            region = RegionConfig(snap=True)
            bounds = [(gt.offset[at] + n * size) / scale for n in (begin, begin + length)]
            setattr(region, self.axis, bounds)
            volumes[part] = {part: VolumeConfig(region=region)}
            begin += length + gap
        return volumes
