"""Scale."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from funlib.geometry import Coordinate

from dacapo.config import config
from dacapo.experiments.trainers.augments.augment import Sample, Warp
from dacapo.experiments.trainers.augments.augment_config import AugmentConfig
from dacapo.experiments.trainers.augments.warp_augment import WarpAugment

if TYPE_CHECKING:
    import numpy as np


@config("trainer/augments")
@dataclass(kw_only=True)
class ScaleConfig(AugmentConfig):
    """Magnify or shrink, along all axes alike."""

    factor: list[float] = field(default_factory=lambda: [0.8, 1.25])
    """Range of how many times larger things become, drawn evenly on a logarithmic scale."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_range("factor", 0.1)

    def build(self) -> Scale:
        return Scale(self.p, (self.factor[0], self.factor[1]))


class Scale(WarpAugment):
    """A voxel comes from 1 / factor of its distance to the centre."""

    def __init__(self, p: float, factor: tuple[float, float]) -> None:
        super().__init__(p)
        self._low, self._high = factor

    def margin(self, size: Coordinate, voxel_size: Coordinate) -> Coordinate:
        return Coordinate(math.ceil(max(0.0, s * (1 / self._low - 1) / 2)) for s in size)

    def warp(self, sample: Sample, rng: np.random.Generator) -> Warp:
        import torch

        factor = math.exp(rng.uniform(math.log(self._low), math.log(self._high)))
        return Warp(torch.eye(sample.gt.ndim) / factor)
