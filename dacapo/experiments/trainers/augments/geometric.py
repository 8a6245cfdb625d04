"""Augmentations that move raw and labels together: warps, flips and transposed axes."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from funlib.geometry import Coordinate

from dacapo.config import config, interval, ranged
from dacapo.experiments.trainers.augments.augment import (
    Augment,
    Sample,
    Stage,
    Warp,
    probability,
    uniform,
)

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


@dataclass(kw_only=True)
class WarpAugment(Augment):
    """A warp, which moves voxels off the grid; all warps of a sample are interpolated together."""

    stage = Stage.warp

    @abstractmethod
    def warp(self, sample: Sample, rng: np.random.Generator) -> Warp: ...

    def change(self, sample: Sample, rng: np.random.Generator) -> Sample:
        return replace(sample, warp=self.warp(sample, rng).after(sample.warp))


@config("trainer/augments")
@dataclass(kw_only=True)
class Rotate(WarpAugment):
    """Rotate; anisotropic data only within planes of equal voxel size.

    In 3D with several such planes, each rotation is applied with probability 1/2.
    """

    angle: list[float] = interval([0.0, 360.0], low=-360)
    """Range of the angle, in degrees."""

    def margin(self, size: Coordinate, voxel_size: Coordinate) -> Coordinate:
        """Enough for one rotation.

        Rotations in several planes may reach a few voxels further at the corners, which then count
        as not annotated.
        """
        from dacapo.ops.warp import planes

        turn = [0.0] * size.dims
        if list(self.angle) != [0.0, 0.0]:
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
            angle = math.radians(uniform(rng, self.angle))
            if len(possible) == 1 or rng.random() < 0.5:
                matrix = rotation(dims, plane, angle) @ matrix
        return Warp(matrix)


@config("trainer/augments")
@dataclass(kw_only=True)
class Elastic(Rotate):
    """Deform smoothly and rotate; anisotropic data rotates only within planes of equal voxel
    size."""

    p: float = probability(0.5)  # the other half stays as sharp as measured
    control_point_spacing: float = ranged(24.0, above=0)
    """Distance between control points, in voxels of the finest axis."""
    jitter: float = ranged(1.5, low=0)
    """Standard deviation of their shift along each axis, in voxels of the finest axis; truncated at
    three standard deviations."""

    def margin(self, size: Coordinate, voxel_size: Coordinate) -> Coordinate:
        """Enough for one rotation and the deformation."""
        shift = math.ceil(3 * self.jitter * min(voxel_size))
        return Coordinate(turn + shift for turn in super().margin(size, voxel_size))

    def warp(self, sample: Sample, rng: np.random.Generator) -> Warp:
        import torch

        from dacapo.ops.warp import control_grid_shape

        dims = sample.gt.ndim
        finest = float(min(sample.raw_voxel_size))
        spacing = self.control_point_spacing * finest
        largest = Coordinate(
            max(r * rv, g * gv)
            for r, rv, g, gv in zip(
                sample.raw.shape[-dims:], sample.raw_voxel_size,
                sample.gt.shape, sample.gt_voxel_size, strict=True,
            )
        )  # fmt: skip
        shape = (dims, *control_grid_shape(largest, spacing))
        shift = rng.normal(size=shape).clip(-3, 3) * self.jitter * finest
        turn = super().warp(sample, rng)
        return Warp(turn.matrix, torch.from_numpy(shift.astype("float32")), spacing)


@config("trainer/augments")
@dataclass(kw_only=True)
class Scale(WarpAugment):
    """Magnify or shrink by the same factor along all axes."""

    p: float = probability(0.2)
    factor: list[float] = interval([0.8, 1.25], low=0.1)
    """Range of the magnification, drawn uniformly on a logarithmic scale."""

    def margin(self, size: Coordinate, voxel_size: Coordinate) -> Coordinate:
        return Coordinate(math.ceil(max(0.0, s * (1 / self.factor[0] - 1) / 2)) for s in size)

    def warp(self, sample: Sample, rng: np.random.Generator) -> Warp:
        import torch

        low, high = self.factor
        factor = math.exp(rng.uniform(math.log(low), math.log(high)))
        return Warp(torch.eye(sample.gt.ndim) / factor)


@config("trainer/augments")
@dataclass(kw_only=True)
class Shear(WarpAugment):
    """Shear; anisotropic data only within planes of equal voxel size."""

    p: float = probability(0.2)
    angle: list[float] = interval([-10.0, 10.0], low=-60, high=60)
    """Range of the angle of each plane, in degrees."""

    def margin(self, size: Coordinate, voxel_size: Coordinate) -> Coordinate:
        from dacapo.ops.warp import planes

        steepest = max(abs(math.tan(math.radians(a))) for a in self.angle)
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
            slant[first, second] = math.tan(math.radians(uniform(rng, self.angle)))
            matrix = slant @ matrix
        return Warp(matrix)


@config("trainer/augments")
@dataclass(kw_only=True)
class Mirror(Augment):
    """Mirror along each axis with probability 1/2."""

    stage = Stage.flip

    def change(self, sample: Sample, rng: np.random.Generator) -> Sample:
        dims = sample.gt.ndim
        axes = [axis - dims for axis in range(dims) if rng.random() < 0.5]
        return sample.map(lambda volume, _: volume.flip(axes))


@config("trainer/augments")
@dataclass(kw_only=True)
class Transpose(Augment):
    """Transpose axes at random, among those of equal voxel size and equal extent."""

    stage = Stage.flip

    def change(self, sample: Sample, rng: np.random.Generator) -> Sample:
        dims = sample.gt.ndim
        order = list(range(dims))
        for group in _equal_axes(sample):
            for axis, other in zip(group, rng.permutation(group), strict=True):
                order[axis] = int(other)

        def permuted(volume: Tensor, _: Coordinate) -> Tensor:
            channels = volume.ndim - dims
            return volume.permute(*range(channels), *(channels + axis for axis in order))

        return sample.map(permuted)


def _equal_axes(sample: Sample) -> list[list[int]]:
    """Groups of axes that may be transposed."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for axis, size in enumerate(sample.gt.shape):
        raw = sample.raw.shape[axis - sample.gt.ndim]
        key = (size, raw, sample.raw_voxel_size[axis], sample.gt_voxel_size[axis])
        groups.setdefault(key, []).append(axis)
    return list(groups.values())
