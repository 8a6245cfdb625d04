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
    between.

    With num_folds, the axis is cut into so many parts instead: fold=2 validates on the third, and
    trains on the others. Train one run for each fold; they are compared as one.
    """

    axis: str | None = None
    """Axis to split along: z, y or x (default: the longest)."""
    train: float = ranged(0.7, above=0, below=1)
    """Fraction of the axis, not counting the gaps."""
    validate: float = ranged(0.3, above=0, below=1)
    """Fraction of the axis, not counting the gaps."""
    test: float = ranged(0.0, low=0, high=1)
    """Fraction of the axis, not counting the gaps."""
    buffer: float | None = ranged(None, low=0)
    """Width of the gaps, in the volume's unit (default: 32 voxels)."""
    num_folds: int | None = ranged(None, low=2)
    """Number of parts for cross-validation, after test has been cut off at the end; train and
    validate are not used then."""
    fold: int = ranged(0, low=0)
    """The part to validate on, from 0; sweep over datasplit.fold=0,1,2."""

    def __post_init__(self) -> None:
        super().__post_init__()
        shares = [getattr(self, part) for part in PARTS]
        if self.num_folds is None and abs(sum(shares) - 1) > 1e-6:
            raise InputError(
                f"datasplit.train, validate and test are {shares}: give shares that add up to 1"
            )
        if self.fold and self.num_folds is None:
            raise InputError(f"datasplit.fold={self.fold}: set datasplit.num_folds as well")
        if self.num_folds is not None and self.fold >= self.num_folds:
            raise InputError(
                f"datasplit.fold={self.fold} must be less than datasplit.num_folds={self.num_folds}"
            )
        if self.axis not in (None, "z", "y", "x"):
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
        lengths = list(gt.roi.shape)
        at = lengths.index(max(lengths)) - gt.dims
        if self.axis is not None:
            at = "zyx".index(self.axis) - 3
        axis = "zyx"[at]
        if -at > gt.dims:
            raise InputError(
                f"datasplit.axis={self.axis}: {gt.name} has {gt.dims} axes; set datasplit.axis=y, "
                f"and for 2D also task=affinities_2d architecture=unet_2d"
            )
        size, num = gt.voxel_size[at], gt.shape[at]
        scale = scale_of(gt.unit, "datasplit.unit")
        gap = 32 if self.buffer is None else -int(-self.buffer * scale // size)
        cuts = self._cuts(num, gap)
        if gap < 0 or not cuts or min(end - begin for *_, begin, end in cuts) < 1:
            raise InputError(
                f"datasplit.buffer={gap * size / scale:g}: gaps as wide leave nothing of the "
                f"{num * size / scale:g} {gt.unit} of {gt.name} along {axis}: set a smaller "
                f"one, or another datasplit.axis"
            )
        volumes: dict[str, dict[str, VolumeConfig]] = {}
        for part, name, begin, end in cuts:
            region = RegionConfig(snap=True)
            bounds = [(gt.offset[at] + n * size) / scale for n in (begin, end)]
            setattr(region, axis, bounds)
            volumes.setdefault(part, {})[name] = VolumeConfig(region=region)
        return volumes

    def _cuts(self, num: int, gap: int) -> list[tuple[str, str, int, int]]:
        """Part, name and the interval of each volume along an axis of `num` voxels."""
        if self.num_folds is not None:
            return self._fold_cuts(num, gap, self.num_folds)
        parts = [part for part in PARTS if getattr(self, part) > 0]
        left = num - gap * (len(parts) - 1)
        found, begin = [], 0
        for part in parts:
            length = int(left * getattr(self, part))
            found.append((part, part, begin, begin + length))
            begin += length + gap
        return found

    def _fold_cuts(self, num: int, gap: int, num_folds: int) -> list[tuple[str, str, int, int]]:
        """Folds lie side by side; training keeps its distance from the one that validates."""
        test = int(num * self.test)
        left = num - (test + gap if test else 0)
        begin, end = (left * fold // num_folds for fold in (self.fold, self.fold + 1))
        train = [("train", "before", 0, begin - gap), ("train", "after", end + gap, left)]
        train = [cut for cut in train if cut[2] < cut[3]]
        ends = [("test", "test", num - test, num)] if test else []
        return [*train, ("validate", f"fold{self.fold}", begin, end), *ends] if train else []
