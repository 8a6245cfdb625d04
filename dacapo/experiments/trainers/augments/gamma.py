"""Gamma."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from dacapo.config import config
from dacapo.experiments.trainers.augments.augment import Augment, Sample, Stage
from dacapo.experiments.trainers.augments.augment_config import AugmentConfig

if TYPE_CHECKING:
    import numpy as np


@config("trainer/augments")
@dataclass(kw_only=True)
class GammaConfig(AugmentConfig):
    """Raise intensities, held within 0 to 1, to a power."""

    gamma: list[float] = field(default_factory=lambda: [0.7, 1.4])
    """Range of the exponent, drawn evenly on a logarithmic scale."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_range("gamma", 1e-3)

    def build(self) -> Gamma:
        return Gamma(self.p, (self.gamma[0], self.gamma[1]))


class Gamma(Augment):
    """raw -> raw ** gamma."""

    stage = Stage.intensity

    def __init__(self, p: float, gamma: tuple[float, float]) -> None:
        super().__init__(p)
        self._low, self._high = math.log(gamma[0]), math.log(gamma[1])

    def change(self, sample: Sample, rng: np.random.Generator) -> Sample:
        exponent = math.exp(rng.uniform(self._low, self._high))
        return replace(sample, raw=sample.raw.clamp(0, 1) ** exponent)
