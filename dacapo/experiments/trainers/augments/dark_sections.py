"""Dark sections."""

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
class DarkSectionsConfig(AugmentConfig):
    """Sections that were stained or exposed otherwise: of less contrast, and darker."""

    share: float = 0.05
    """Probability of each section, along the first axis."""
    factor: list[float] = field(default_factory=lambda: [0.2, 0.7])
    """Range of what is left of their intensity."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_share("share")
        self._check_range("factor", 0)

    def build(self) -> DarkSections:
        return DarkSections(self.p, self.share, (self.factor[0], self.factor[1]))


class DarkSections(Augment):
    """Whole sections of raw are multiplied by a factor."""

    stage = Stage.defect

    def __init__(self, p: float, share: float, factor: tuple[float, float]) -> None:
        super().__init__(p)
        self._share, self._factor = share, factor

    def change(self, sample: Sample, rng: np.random.Generator) -> Sample:
        raw = sample.raw.clone()
        for section in sections(raw, self._share, rng):
            raw[:, section] *= rng.uniform(*self._factor)
        return replace(sample, raw=raw)
