"""What an augmentation does."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from funlib.geometry import Coordinate

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


@dataclass(frozen=True)
class Sample:
    """One crop before its targets are made; raw and labels share their centre.

    Attributes:
        raw: (C, *spatial) float32, mostly in 0 to 1.
        gt, mask: (*spatial), int32 and uint8.
        weight: (*spatial) float32, factor of the loss; None: 1.
        raw_voxel_size, gt_voxel_size: in world units.
        margin: read on each side for the augmentations that need it, in world units.
        warp: where voxels are to come from, once `apply_warp` moves them all at a time.
    """

    raw: Tensor
    gt: Tensor
    mask: Tensor
    raw_voxel_size: Coordinate
    gt_voxel_size: Coordinate
    margin: Coordinate
    weight: Tensor | None = None
    warp: Warp | None = None

    def moved(
        self, move: Callable[[Tensor, Coordinate], Tensor], margin: Coordinate | None = None
    ) -> Sample:
        """The sample with raw and all labels moved alike; `move` gets each with its voxel size."""
        labels: dict[str, Any] = {
            key: move(value, self.gt_voxel_size)
            for key in ("gt", "mask", "weight")
            if (value := getattr(self, key)) is not None
        }
        raw = move(self.raw, self.raw_voxel_size)
        return replace(self, raw=raw, margin=self.margin if margin is None else margin, **labels)


@dataclass(frozen=True)
class Warp:
    """Where a voxel comes from: matrix * its position, relative to the centre, plus a field.

    Attributes:
        matrix: (dims, dims).
        control_points: (dims, *grid), displacements in world units; None: there is no field.
        spacing: of the control_points, in world units.
    """

    matrix: Tensor
    control_points: Tensor | None = None
    spacing: float = 1.0

    def after(self, earlier: Warp | None) -> Warp:
        """Both, as one; only one of them may have a field."""
        if earlier is None:
            return self
        assert self.control_points is None or earlier.control_points is None
        field = self if self.control_points is not None else earlier
        return Warp(self.matrix @ earlier.matrix, field.control_points, field.spacing)


class Stage(IntEnum):
    """Augmentations run in this order, whatever order they are named in."""

    warp = 0
    flip = 1
    intensity = 2
    defect = 3


class Augment(ABC):
    """Changes a sample with probability `p`; every draw comes from the generator it is given."""

    stage: Stage

    def __init__(self, p: float) -> None:
        self.p = p

    def apply(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """The sample, changed or not."""
        return self.change(sample, rng) if rng.random() < self.p else self.leave(sample)

    @abstractmethod
    def change(self, sample: Sample, rng: np.random.Generator) -> Sample: ...

    def leave(self, sample: Sample) -> Sample:
        """What becomes of a sample that is not changed."""
        return sample

    def margin(self, size: Coordinate, voxel_size: Coordinate) -> Coordinate:
        """What it needs on each side of a sample of this size; `apply_warp` cuts that off again."""
        return Coordinate((0,) * size.dims)


def moved(volume: Tensor, shift: Sequence[int], fill: float | None = None) -> Tensor:
    """A volume (C, *spatial) moved by whole voxels along its last axes.

    Args:
        fill: what stands where nothing came to; None: the border repeated.
    """
    for axis, by in enumerate(shift, start=-len(shift)):
        if by == 0:
            continue
        length = volume.shape[axis]
        by = max(-length, min(length, by))
        kept = volume.narrow(axis, max(0, -by), length - abs(by))
        border = volume.narrow(axis, 0 if by > 0 else length - 1, 1)
        if fill is not None:
            border = border * 0 + fill
        new = border.expand([abs(by) if a == axis % volume.ndim else n
                             for a, n in enumerate(volume.shape)])  # fmt: skip
        volume = _joined(new, kept, axis, by > 0)
    return volume


def _joined(new: Tensor, kept: Tensor, axis: int, first: bool) -> Tensor:
    import torch

    return torch.cat([new, kept] if first else [kept, new], dim=axis)
