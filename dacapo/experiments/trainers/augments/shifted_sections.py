"""Shifted sections."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dacapo.config import config
from dacapo.errors import InputError
from dacapo.experiments.trainers.augments.augment import moved
from dacapo.experiments.trainers.augments.section_augment import SectionAugment, SectionConfig

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


@config("trainer/augments")
@dataclass(kw_only=True)
class ShiftedSectionsConfig(SectionConfig):
    """Single sections of raw that were placed wrongly; labels stay."""

    distance: int = 5
    """Largest shift along each axis of the section, in voxels."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.distance < 1:
            raise InputError(f"{self._key}.distance={self.distance} must be at least 1")

    def build(self) -> ShiftedSections:
        return ShiftedSections(self.p, self.share, self.distance)


class ShiftedSections(SectionAugment):
    """Whole sections of raw are moved; what they leave is filled with their border."""

    def __init__(self, p: float, share: float, distance: int) -> None:
        super().__init__(p, share)
        self._distance = distance

    def corrupt(self, section: Tensor, rng: np.random.Generator) -> Tensor:
        shift = rng.integers(-self._distance, self._distance + 1, section.ndim - 1)
        return moved(section, shift.tolist())
