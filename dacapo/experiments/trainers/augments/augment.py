"""The base of augmentations, and the sample that they change."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import TYPE_CHECKING, Any, ClassVar

from funlib.geometry import Coordinate

from dacapo.config import Config, ranged

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


class Stage(IntEnum):
    """The order in which augmentations run, whatever the order in which they are named."""

    warp = 0
    flip = 1
    intensity = 2
    defect = 3


def probability(default: float) -> Any:
    """The field `p` with a given default."""
    return ranged(default, low=0, high=1)


@dataclass(kw_only=True)
class Augment(Config, ABC):
    """A random change of a sample that preserves its meaning.

    All random numbers come from the generator that is passed in, so that a sample is a pure
    function of (seed, iteration, number).
    """

    stage: ClassVar[Stage]

    p: float = probability(1.0)
    """Probability that a sample is changed."""

    @classmethod
    def config_key(cls) -> str:
        name = re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()
        return f"{super().config_key()}.{name}".lstrip(".")

    def apply(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """The sample, changed or not."""
        return self.change(sample, rng) if rng.random() < self.p else sample

    @abstractmethod
    def change(self, sample: Sample, rng: np.random.Generator) -> Sample: ...

    def margin(self, size: Coordinate, voxel_size: Coordinate) -> Coordinate:
        """The margin to read around a sample of this size; `apply_warp` crops it again."""
        return Coordinate((0,) * size.dims)


@dataclass(frozen=True)
class Sample:
    """One crop before its targets are computed; raw and labels have the same centre.

    Attributes:
        raw: (C, *spatial) float32, mostly between 0 and 1.
        gt, mask: (*spatial), int32 and uint8.
        weight: (*spatial) float32, factor of the loss; None: 1 everywhere.
        raw_voxel_size, gt_voxel_size: in world units.
        margin: width on each side that was read for augmentations, in world units.
        warp: the warp collected so far, which `apply_warp` applies in one interpolation.
    """

    raw: Tensor
    gt: Tensor
    mask: Tensor
    raw_voxel_size: Coordinate
    gt_voxel_size: Coordinate
    margin: Coordinate
    weight: Tensor | None = None
    warp: Warp | None = None

    def map(
        self,
        raw: Callable[[Tensor, Coordinate], Tensor],
        labels: Callable[[Tensor, Coordinate], Tensor] | None = None,
    ) -> Sample:
        """Apply functions to raw, and to gt, mask and weight.

        Args:
            raw, labels: functions of a volume and its voxel size; labels=None: the same as raw.
        """
        labels = labels or raw
        return replace(
            self,
            raw=raw(self.raw, self.raw_voxel_size),
            gt=labels(self.gt, self.gt_voxel_size),
            mask=labels(self.mask, self.gt_voxel_size),
            weight=None if self.weight is None else labels(self.weight, self.gt_voxel_size),
        )


@dataclass(frozen=True)
class Warp:
    """The source position of a voxel: matrix * its position relative to the centre, plus a field.

    Attributes:
        matrix: (dims, dims).
        control_points: (dims, *grid), displacements in world units; None: no displacement field.
        control_point_spacing: in world units.
    """

    matrix: Tensor
    control_points: Tensor | None = None
    control_point_spacing: float = 1.0

    def after(self, earlier: Warp | None) -> Warp:
        """The composition of both warps; only one of them may have a field."""
        if earlier is None:
            return self
        assert self.control_points is None or earlier.control_points is None
        field = self if self.control_points is not None else earlier
        return Warp(self.matrix @ earlier.matrix, field.control_points, field.control_point_spacing)


def uniform(rng: np.random.Generator, interval: Sequence[float]) -> float:
    """A uniformly drawn number of an interval."""
    low, high = interval
    return float(rng.uniform(low, high))


def apply_warp(sample: Sample) -> Sample:
    """Apply the warp and crop the margin; raw is interpolated linearly, labels by nearest
    neighbour.

    All warps are collected first and applied here at once, because each interpolation blurs. Labels
    from outside the crop that was read count as not annotated.
    """
    no_margin = sample.margin * 0
    if sample.warp is None:
        cropped = sample.map(lambda volume, size: _without_margin(volume, size, sample.margin))
        return replace(cropped, margin=no_margin)
    import torch

    from dacapo.ops.warp import resample, warped_positions

    warp, dims, device = sample.warp, sample.gt.ndim, sample.raw.device
    matrix = warp.matrix.to(device)
    points = None if warp.control_points is None else warp.control_points.to(device)

    def warped(volume: Tensor, voxel_size: Coordinate, interpolate: bool) -> Tensor:
        inner = _without_margin(volume, voxel_size, sample.margin).shape[-dims:]
        at = warped_positions(inner, voxel_size, matrix, points, warp.control_point_spacing)
        size = [n * v for n, v in zip(volume.shape[-dims:], voxel_size, strict=True)]
        return resample(volume, at, size, interpolate)

    labels = [sample.gt, sample.mask, *([] if sample.weight is None else [sample.weight])]
    gt, mask, *weight = warped(
        torch.stack([t.float() for t in labels]), sample.gt_voxel_size, interpolate=False
    )
    mask = mask.to(sample.mask.dtype)
    return replace(
        sample,
        raw=warped(sample.raw, sample.raw_voxel_size, interpolate=True),
        gt=gt.to(sample.gt.dtype) * (mask != 0),
        mask=mask,
        weight=weight[0] if weight else None,
        margin=no_margin,
        warp=None,
    )


def _without_margin(volume: Tensor, voxel_size: Coordinate, margin: Coordinate) -> Tensor:
    crop = margin / voxel_size
    for axis, num in enumerate(crop, start=-crop.dims):
        volume = volume.narrow(axis, num, volume.shape[axis] - 2 * num)
    return volume
