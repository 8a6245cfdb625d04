"""Intensity scale and shift."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from dacapo.config import config
from dacapo.experiments.trainers.augments.augment import Augment, Sample, Stage
from dacapo.experiments.trainers.augments.augment_config import AugmentConfig

if TYPE_CHECKING:
    import numpy as np

Range = tuple[float, float]


@config("trainer/augments")
@dataclass(kw_only=True)
class IntensityConfig(AugmentConfig):
    """Scale the contrast about the sample's mean, and shift the brightness."""

    scale: list[float] = field(default_factory=lambda: [0.8, 1.2])
    """Range of the factor."""
    shift: list[float] = field(default_factory=lambda: [-0.15, 0.15])
    """Range of the shift, where raw spans 0 to 1."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_range("scale", 0)
        self._check_range("shift", -1)

    def build(self) -> Intensity:
        return Intensity(self.p, (self.scale[0], self.scale[1]), (self.shift[0], self.shift[1]))


class Intensity(Augment):
    """raw -> mean + scale (raw - mean) + shift."""

    stage = Stage.intensity

    def __init__(self, p: float, scale: Range, shift: Range) -> None:
        super().__init__(p)
        self._scale, self._shift = scale, shift

    def change(self, sample: Sample, rng: np.random.Generator) -> Sample:
        scale, shift = rng.uniform(*self._scale), rng.uniform(*self._shift)
        mean = sample.raw.mean()
        return replace(sample, raw=(sample.raw - mean) * scale + (mean + shift))
