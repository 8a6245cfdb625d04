"""Shear."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from funlib.geometry import Coordinate

from dacapo.config import config
from dacapo.errors import InputError
from dacapo.experiments.trainers.augments.augment import Sample, Warp
from dacapo.experiments.trainers.augments.augment_config import AugmentConfig
from dacapo.experiments.trainers.augments.warp_augment import WarpAugment

if TYPE_CHECKING:
    import numpy as np


@config("trainer/augments")
@dataclass(kw_only=True)
class ShearConfig(AugmentConfig):
    """Slant; anisotropic data only in the plane of equal voxel sizes."""

    angle: list[float] = field(default_factory=lambda: [-10.0, 10.0])
    """Range of the angle of each plane, in degrees."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_range("angle", -60)
        if self.angle[1] > 60:
            raise InputError(f"{self._key}.angle={self.angle}: give at most 60 degrees")

    def build(self) -> Shear:
        return Shear(self.p, (self.angle[0], self.angle[1]))


class Shear(WarpAugment):
    """Move along the first axis of each plane by a share of the second."""

    def __init__(self, p: float, angle: tuple[float, float]) -> None:
        super().__init__(p)
        self._angle = angle

    def margin(self, size: Coordinate, voxel_size: Coordinate) -> Coordinate:
        from dacapo.ops.warp import planes

        steepest = max(abs(math.tan(math.radians(a))) for a in self._angle)
        slant = [0.0] * size.dims
        for first, second in planes(voxel_size):
            slant[first] += steepest * (size[second] + 2 * slant[second]) / 2
        return Coordinate(math.ceil(s) for s in slant)

    def warp(self, sample: Sample, rng: np.random.Generator) -> Warp:
        import torch

        from dacapo.ops.warp import planes

        matrix = torch.eye(sample.gt.ndim)
        for first, second in planes(sample.raw_voxel_size):
            slant = torch.eye(sample.gt.ndim)
            slant[first, second] = math.tan(math.radians(rng.uniform(*self._angle)))
            matrix = slant @ matrix
        return Warp(matrix)
