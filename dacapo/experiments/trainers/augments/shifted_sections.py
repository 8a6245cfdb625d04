"""Shifted sections."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dacapo.config import config
from dacapo.errors import InputError
from dacapo.experiments.trainers.augments.augment import Augment, Sample, Stage, moved, sections
from dacapo.experiments.trainers.augments.augment_config import AugmentConfig

if TYPE_CHECKING:
    import numpy as np


@config("trainer/augments")
@dataclass(kw_only=True)
class ShiftedSectionsConfig(AugmentConfig):
    """Single sections of raw that were placed wrongly; labels stay."""

    share: float = 0.05
    """Probability of each section, along the first axis."""
    distance: int = 5
    """Largest shift along each axis of the section, in voxels."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_share("share")
        if self.distance < 1:
            raise InputError(f"{self._key}.distance={self.distance} must be at least 1")

    def build(self) -> ShiftedSections:
        return ShiftedSections(self.p, self.share, self.distance)


class ShiftedSections(Augment):
    """Whole sections of raw are moved; what they leave is filled with their border."""

    stage = Stage.defect

    def __init__(self, p: float, share: float, distance: int) -> None:
        super().__init__(p)
        self._share, self._distance = share, distance

    def change(self, sample: Sample, rng: np.random.Generator) -> Sample:
        raw = sample.raw.clone()
        for section in sections(raw, self._share, rng):
            shift = rng.integers(-self._distance, self._distance + 1, raw.ndim - 2)
            raw[:, section] = moved(raw[:, section], shift.tolist())
        return replace(sample, raw=raw)
