"""Low resolution."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from dacapo.config import config
from dacapo.experiments.trainers.augments.augment import Augment, Sample, Stage
from dacapo.experiments.trainers.augments.augment_config import AugmentConfig

if TYPE_CHECKING:
    import numpy as np


@config("trainer/augments")
@dataclass(kw_only=True)
class LowResolutionConfig(AugmentConfig):
    """Raw as if measured with larger voxels, and interpolated back."""

    factor: list[float] = field(default_factory=lambda: [1.0, 2.0])
    """Range of how many times larger; axes whose voxels are larger already follow later."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_range("factor", 1)

    def build(self) -> LowResolution:
        return LowResolution(self.p, (self.factor[0], self.factor[1]))


class LowResolution(Augment):
    """Averaged down to voxels of equal size, then linear. Isensee et al. 2021."""

    stage = Stage.intensity

    def __init__(self, p: float, factor: tuple[float, float]) -> None:
        super().__init__(p)
        self._factor = factor

    def change(self, sample: Sample, rng: np.random.Generator) -> Sample:
        from torch.nn.functional import interpolate

        size = rng.uniform(*self._factor) * min(sample.raw_voxel_size)
        shape = sample.raw.shape[1:]
        fewer = [
            max(1, round(n * min(1.0, v / size)))
            for n, v in zip(shape, sample.raw_voxel_size, strict=True)
        ]
        mode = "trilinear" if len(shape) == 3 else "bilinear"
        small = interpolate(sample.raw[None], fewer, mode="area")
        return replace(sample, raw=interpolate(small, tuple(shape), mode=mode)[0])
