"""Augmentations that move raw and labels together: warps, flips and transposed axes."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from funlib.geometry import Coordinate

from dacapo.config import config, interval, ranged
from dacapo.experiments.trainers.augments.augment import (
    Augment,
    Sample,
    Stage,
    probability,
    uniform,
)

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from dacapo.ops.warp import Warp


@dataclass(frozen=True)
class Extent:
    """What a warp is drawn for.

    Attributes:
        size: of the crop, the larger one of raw and labels along each axis, in world units.
        voxel_size: of raw, in world units.
    """

    size: Coordinate
    voxel_size: Coordinate

    @classmethod
    def of(cls, sample: Sample) -> Extent:
        """The extent of a sample."""
        dims = sample.gt.ndim
        raw = Coordinate(sample.raw.shape[-dims:]) * sample.raw_voxel_size
        labels = Coordinate(sample.gt.shape) * sample.gt_voxel_size
        return cls(Coordinate(map(max, raw, labels)), sample.raw_voxel_size)


@dataclass(kw_only=True)
class WarpAugment(Augment):
    """A warp, which moves voxels off the grid.

    All warps of a sample are drawn before it is read, and interpolated together: each interpolation
    blurs, and only what the warp needs is read.
    """

    stage = Stage.warp

    @abstractmethod
    def warp(self, extent: Extent, rng: np.random.Generator) -> Warp: ...

    def draw(self, extent: Extent, rng: np.random.Generator) -> Warp | None:
        """A warp, or None if the sample is not changed."""
        return self.warp(extent, rng) if rng.random() < self.p else None

    def change(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Warp a sample by itself; what comes from outside of it counts as not annotated."""
        from dacapo.ops.warp import warp_linear, warp_nearest

        warp, none = self.warp(Extent.of(sample), rng), [0] * sample.gt.ndim
        ones = sample.raw.new_ones(len(sample.raw))
        return sample.map(
            lambda raw, size: warp_linear(
                raw, none, warp, raw.shape[1:], size, 0 * ones, ones
            ),
            lambda volume, size: warp_nearest(volume, none, warp, volume.shape, size)[0],
        )  # fmt: skip


@config("trainer/augments")
@dataclass(kw_only=True)
class Rotate(WarpAugment):
    """Rotate; anisotropic data only within planes of equal voxel size.

    In 3D with several such planes, each rotation is applied with probability 1/2.
    """

    angle: list[float] = interval([0.0, 360.0], low=-360)
    """Range of the angle, in degrees."""

    def warp(self, extent: Extent, rng: np.random.Generator) -> Warp:
        import numpy as np

        from dacapo.ops.warp import Warp, planes, rotation

        dims = extent.size.dims
        matrix = np.eye(dims)
        possible = planes(extent.voxel_size)
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

    def warp(self, extent: Extent, rng: np.random.Generator) -> Warp:
        from dacapo.ops.warp import Warp, control_grid_shape

        finest = float(min(extent.voxel_size))
        spacing = self.control_point_spacing * finest
        shape = (extent.size.dims, *control_grid_shape(extent.size, spacing))
        shift = rng.normal(size=shape).clip(-3, 3) * self.jitter * finest
        return Warp(super().warp(extent, rng).matrix, shift, spacing)


@config("trainer/augments")
@dataclass(kw_only=True)
class Scale(WarpAugment):
    """Magnify or shrink by the same factor along all axes."""

    p: float = probability(0.2)
    factor: list[float] = interval([0.8, 1.25], low=0.1)
    """Range of the magnification, drawn uniformly on a logarithmic scale."""

    def warp(self, extent: Extent, rng: np.random.Generator) -> Warp:
        import numpy as np

        from dacapo.ops.warp import Warp

        low, high = self.factor
        factor = math.exp(rng.uniform(math.log(low), math.log(high)))
        return Warp(np.eye(extent.size.dims) / factor)


@config("trainer/augments")
@dataclass(kw_only=True)
class Shear(WarpAugment):
    """Shear; anisotropic data only within planes of equal voxel size."""

    p: float = probability(0.2)
    angle: list[float] = interval([-10.0, 10.0], low=-60, high=60)
    """Range of the angle of each plane, in degrees."""

    def warp(self, extent: Extent, rng: np.random.Generator) -> Warp:
        import numpy as np

        from dacapo.ops.warp import Warp, planes

        matrix = np.eye(extent.size.dims)
        for first, second in planes(extent.voxel_size):
            slant = np.eye(extent.size.dims)
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
