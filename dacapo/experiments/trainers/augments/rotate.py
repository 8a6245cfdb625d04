"""Rotate."""

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
class RotateConfig(AugmentConfig):
    """Turn; anisotropic data turns only in the plane of equal voxel sizes."""

    angle: list[float] = field(default_factory=lambda: [0.0, 360.0])
    """Range of the angle, in degrees."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_range("angle", -360)

    def build(self) -> Rotate:
        return Rotate(self.p, (self.angle[0], self.angle[1]))


class Rotate(WarpAugment):
    """Turn in each plane of equal voxel sizes; where there are several, in each with p = 1/2."""

    def __init__(self, p: float, angle: tuple[float, float]) -> None:
        super().__init__(p)
        self._angle = angle

    def margin(self, size: Coordinate, voxel_size: Coordinate) -> Coordinate:
        """Enough for one turn.

        Turns in several planes may add up to reach beyond it by a few voxels at the corners, which
        then count as not annotated.
        """
        from dacapo.ops.warp import planes

        turn = [0.0] * size.dims
        if self._angle != (0.0, 0.0):
            for a, b in planes(voxel_size):
                diagonal = math.hypot(size[a], size[b])
                turn[a] = max(turn[a], (diagonal - size[a]) / 2)
                turn[b] = max(turn[b], (diagonal - size[b]) / 2)
        return Coordinate(math.ceil(t) for t in turn)

    def warp(self, sample: Sample, rng: np.random.Generator) -> Warp:
        import torch

        from dacapo.ops.warp import planes, rotation

        dims = sample.gt.ndim
        matrix = torch.eye(dims)
        possible = planes(sample.raw_voxel_size)
        for plane in possible:
            angle = math.radians(rng.uniform(*self._angle))
            if len(possible) == 1 or rng.random() < 0.5:
                matrix = rotation(dims, plane, angle) @ matrix
        return Warp(matrix)
