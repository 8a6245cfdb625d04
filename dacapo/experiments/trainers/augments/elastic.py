"""Elastic deformation with rotation."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from funlib.geometry import Coordinate

from dacapo.config import config
from dacapo.errors import InputError
from dacapo.experiments.trainers.augments.augment import Augment, Sample, Stage
from dacapo.experiments.trainers.augments.augment_config import AugmentConfig

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


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


class Elastic(Augment):
    """Resample raw (linear) and labels (nearest) along one smooth field in world units.

    Args:
        spacing, jitter: of the control points, in edges of the finest voxel side.
        angle: range in degrees.
    """

    stage = Stage.geometric

    def __init__(self, p: float, spacing: float, jitter: float, angle: tuple[float, float]) -> None:
        super().__init__(p)
        self._spacing, self._jitter, self._angle = spacing, jitter, angle

    def margin(self, size: Coordinate, voxel_size: Coordinate) -> Coordinate:
        """Enough for one turn and the bend.

        Turns in several planes may add up to reach beyond it by a few voxels at the corners, which
        then count as not annotated.
        """
        from dacapo.ops.warp import planes

        bend = math.ceil(3 * self._jitter * min(voxel_size))
        turn = [0.0] * size.dims
        if self._angle != (0.0, 0.0):
            for a, b in planes(voxel_size):
                diagonal = math.hypot(size[a], size[b])
                turn[a] = max(turn[a], (diagonal - size[a]) / 2)
                turn[b] = max(turn[b], (diagonal - size[b]) / 2)
        return Coordinate(math.ceil(t) + bend for t in turn)

    def change(self, sample: Sample, rng: np.random.Generator) -> Sample:
        import torch

        from dacapo.ops.warp import knots_for, planes, resample, rotation, warped_positions

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
        shape = (dims, *knots_for(largest, spacing))
        shift = rng.normal(size=shape).clip(-3, 3) * self._jitter * finest
        knots = torch.from_numpy(shift.astype("float32")).to(sample.raw.device)
        matrix = torch.eye(dims)
        for plane in planes(sample.raw_voxel_size):
            angle = math.radians(rng.uniform(*self._angle))
            if len(planes(sample.raw_voxel_size)) == 1 or rng.random() < 0.5:
                matrix = rotation(dims, plane, angle) @ matrix
        matrix = matrix.to(sample.raw.device)

        def moved(volume: Tensor, voxel_size: Coordinate, interpolate: bool) -> Tensor:
            inner = _without_margin(volume, voxel_size, sample.margin).shape[-dims:]
            at = warped_positions(inner, voxel_size, matrix, knots, spacing)
            size = [n * v for n, v in zip(volume.shape[-dims:], voxel_size, strict=True)]
            return resample(volume, at, size, interpolate)

        labels = [sample.gt, sample.mask, *([] if sample.weight is None else [sample.weight])]
        gt, mask, *weight = moved(
            torch.stack([t.float() for t in labels]), sample.gt_voxel_size, interpolate=False
        )
        mask = mask.to(sample.mask.dtype)
        return replace(
            sample,
            raw=moved(sample.raw, sample.raw_voxel_size, interpolate=True),
            gt=gt.to(sample.gt.dtype) * (mask != 0),
            mask=mask,
            weight=weight[0] if weight else None,
            margin=sample.margin * 0,
        )

    def leave(self, sample: Sample) -> Sample:
        return sample.moved(
            lambda volume, voxel_size: _without_margin(volume, voxel_size, sample.margin),
            sample.margin * 0,
        )


def _without_margin(volume: Tensor, voxel_size: Coordinate, margin: Coordinate) -> Tensor:
    cut = margin / voxel_size
    for axis, num in enumerate(cut, start=-cut.dims):
        volume = volume.narrow(axis, num, volume.shape[axis] - 2 * num)
    return volume
