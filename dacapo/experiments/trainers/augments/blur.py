"""Blur."""

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
class BlurConfig(AugmentConfig):
    """Blur raw with a Gaussian that is as wide along all axes in world units."""

    sigma: list[float] = field(default_factory=lambda: [0.5, 1.5])
    """Range of its standard deviation, in edges of the finest voxel side."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_range("sigma", 0)

    def build(self) -> Blur:
        return Blur(self.p, (self.sigma[0], self.sigma[1]))


class Blur(Augment):
    """Convolve raw with a Gaussian; beyond its border it is mirrored."""

    stage = Stage.intensity

    def __init__(self, p: float, sigma: tuple[float, float]) -> None:
        super().__init__(p)
        self._sigma = sigma

    def change(self, sample: Sample, rng: np.random.Generator) -> Sample:
        from dacapo.ops.blur import gaussian_blur

        sigma = rng.uniform(*self._sigma) * min(sample.raw_voxel_size)
        each = [sigma / size for size in sample.raw_voxel_size]
        return replace(sample, raw=gaussian_blur(sample.raw, each))
