"""Noise."""

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
class NoiseConfig(AugmentConfig):
    """Add Gaussian noise, drawn for each voxel."""

    std: list[float] = field(default_factory=lambda: [0.0, 0.06])
    """Range of its standard deviation, where raw spans 0 to 1."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_range("std", 0)

    def build(self) -> Noise:
        return Noise(self.p, (self.std[0], self.std[1]))


class Noise(Augment):
    """raw -> raw + std * normal."""

    stage = Stage.intensity

    def __init__(self, p: float, std: tuple[float, float]) -> None:
        super().__init__(p)
        self._std = std

    def change(self, sample: Sample, rng: np.random.Generator) -> Sample:
        import torch

        std = rng.uniform(*self._std)
        draws = torch.Generator(sample.raw.device).manual_seed(int(rng.integers(2**62)))
        noise = torch.randn(sample.raw.shape, generator=draws, device=sample.raw.device)
        return replace(sample, raw=sample.raw + std * noise)
