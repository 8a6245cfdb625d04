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


@dataclass(frozen=True)
class Sample:
    """One crop before its targets are computed; raw and labels have the same centre.

    Attributes:
        raw: (C, *spatial) float32, mostly between 0 and 1.
        gt: (*spatial) int32 or int64, 0 where the mask is 0.
        mask: (*spatial) uint8, nonzero where annotated.
        weight: (*spatial) float32, factor of the loss; None: 1 everywhere.
        raw_voxel_size, gt_voxel_size: in world units.
    """

    raw: Tensor
    gt: Tensor
    mask: Tensor
    raw_voxel_size: Coordinate
    gt_voxel_size: Coordinate
    weight: Tensor | None = None

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


def uniform(rng: np.random.Generator, interval: Sequence[float]) -> float:
    """A uniformly drawn number of an interval."""
    low, high = interval
    return float(rng.uniform(low, high))
