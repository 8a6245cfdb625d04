"""Defocus."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from dacapo.config import config
from dacapo.experiments.trainers.augments.augment import Augment, Sample, Stage, sections
from dacapo.experiments.trainers.augments.augment_config import AugmentConfig

if TYPE_CHECKING:
    import numpy as np


@config("trainer/augments")
@dataclass(kw_only=True)
class DefocusConfig(AugmentConfig):
    """Sections that were out of focus: raw is blurred within them."""

    share: float = 0.1
    """Probability of each section, along the first axis."""
    radius: list[float] = field(default_factory=lambda: [1.0, 3.0])
    """Range of the radius of the circle that a point becomes, in voxels."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_share("share")
        self._check_range("radius", 0)

    def build(self) -> Defocus:
        return Defocus(self.p, self.share, (self.radius[0], self.radius[1]))


class Defocus(Augment):
    """Whole sections of raw are convolved with a disk."""

    stage = Stage.defect

    def __init__(self, p: float, share: float, radius: tuple[float, float]) -> None:
        super().__init__(p)
        self._share, self._radius = share, radius

    def change(self, sample: Sample, rng: np.random.Generator) -> Sample:
        from dacapo.ops.blur import disk_blur

        raw = sample.raw.clone()
        for section in sections(raw, self._share, rng):
            raw[:, section] = disk_blur(raw[:, section], rng.uniform(*self._radius))
        return replace(sample, raw=raw)
