"""Contrast."""

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
class ContrastConfig(AugmentConfig):
    """Scale the contrast about the sample's mean, within the range it had."""

    factor: list[float] = field(default_factory=lambda: [0.65, 1.5])
    """Range of the factor."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_range("factor", 0)

    def build(self) -> Contrast:
        return Contrast(self.p, (self.factor[0], self.factor[1]))


class Contrast(Augment):
    """raw -> mean + factor (raw - mean), clipped to raw's own minimum and maximum."""

    stage = Stage.intensity

    def __init__(self, p: float, factor: tuple[float, float]) -> None:
        super().__init__(p)
        self._factor = factor

    def change(self, sample: Sample, rng: np.random.Generator) -> Sample:
        raw, factor = sample.raw, rng.uniform(*self._factor)
        mean = raw.mean()
        changed = (mean + factor * (raw - mean)).clamp(raw.min(), raw.max())
        return replace(sample, raw=changed)
