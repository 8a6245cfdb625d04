"""Poisson noise."""

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
class PoissonConfig(AugmentConfig):
    """Count photons or electrons: noise that grows with the square root of the intensity."""

    counts: list[float] = field(default_factory=lambda: [50.0, 400.0])
    """Range of the mean count where raw is 1; fewer are noisier."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_range("counts", 1)

    def build(self) -> Poisson:
        return Poisson(self.p, (self.counts[0], self.counts[1]))


class Poisson(Augment):
    """raw -> Poisson(counts * raw) / counts; below 0 nothing is counted."""

    stage = Stage.intensity

    def __init__(self, p: float, counts: tuple[float, float]) -> None:
        super().__init__(p)
        self._counts = counts

    def change(self, sample: Sample, rng: np.random.Generator) -> Sample:
        import torch

        counts = rng.uniform(*self._counts)
        draws = torch.Generator(sample.raw.device).manual_seed(int(rng.integers(2**62)))
        counted = torch.poisson(sample.raw.clamp_min(0) * counts, generator=draws)
        return replace(sample, raw=counted / counts)
