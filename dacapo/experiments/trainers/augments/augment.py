"""What an augmentation does."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
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
    """

    raw: Tensor
    gt: Tensor
    mask: Tensor
    raw_voxel_size: Coordinate
    gt_voxel_size: Coordinate
    margin: Coordinate
    weight: Tensor | None = None

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


class Stage(IntEnum):
    """Augmentations run in this order, whatever order they are named in."""

    geometric = 0
    intensity = 1
    defect = 2


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
        """What it needs on each side of a sample of this size; it cuts that off again."""
        return Coordinate((0,) * size.dims)
