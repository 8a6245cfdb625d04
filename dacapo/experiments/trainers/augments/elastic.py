"""Elastic deformation."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from funlib.geometry import Coordinate

from dacapo.config import config
from dacapo.errors import InputError
from dacapo.experiments.trainers.augments.augment import Sample, Warp
from dacapo.experiments.trainers.augments.augment_config import AugmentConfig
from dacapo.experiments.trainers.augments.rotate import Rotate
from dacapo.experiments.trainers.augments.warp_augment import WarpAugment

if TYPE_CHECKING:
    import numpy as np


@config("trainer/augments")
@dataclass(kw_only=True)
class ElasticConfig(AugmentConfig):
    """Bend and turn; anisotropic data turns only in the plane of equal voxel sizes."""

    spacing: float = 24.0
    """Distance between control points, in edges of the finest voxel side."""
    jitter: float = 1.5
    """Standard deviation of their shift along each axis, in the same edges; cut off at three."""
    angle: list[float] = field(default_factory=lambda: [0.0, 360.0])
    """Range of the rotation, in degrees."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.spacing <= 0 or self.jitter < 0:
            raise InputError(
                f"{self._key}.spacing={self.spacing} must be positive and "
                f"{self._key}.jitter={self.jitter} not negative"
            )
        self._check_range("angle", -360)

    def build(self) -> Elastic:
        return Elastic(self.p, self.spacing, self.jitter, (self.angle[0], self.angle[1]))


class Elastic(WarpAugment):
    """A smooth random field and a rotation.

    Args:
        spacing, jitter: of the control points, in edges of the finest voxel side.
        angle: range in degrees.
    """

    def __init__(self, p: float, spacing: float, jitter: float, angle: tuple[float, float]) -> None:
        super().__init__(p)
        self._spacing, self._jitter, self._rotate = spacing, jitter, Rotate(p, angle)

    def margin(self, size: Coordinate, voxel_size: Coordinate) -> Coordinate:
        """Enough for one turn, see `Rotate`, and the bend."""
        bend = math.ceil(3 * self._jitter * min(voxel_size))
        return Coordinate(turn + bend for turn in self._rotate.margin(size, voxel_size))

    def warp(self, sample: Sample, rng: np.random.Generator) -> Warp:
        import torch

        from dacapo.ops.warp import control_grid_shape

        dims = sample.gt.ndim
        finest = float(min(sample.raw_voxel_size))
        spacing = self._spacing * finest
        largest = Coordinate(
            max(r * rv, g * gv)
            for r, rv, g, gv in zip(
                sample.raw.shape[-dims:], sample.raw_voxel_size,
                sample.gt.shape, sample.gt_voxel_size, strict=True,
            )
        )  # fmt: skip
        shape = (dims, *control_grid_shape(largest, spacing))
        shift = rng.normal(size=shape).clip(-3, 3) * self._jitter * finest
        turn = self._rotate.warp(sample, rng)
        return Warp(turn.matrix, torch.from_numpy(shift.astype("float32")), spacing)
