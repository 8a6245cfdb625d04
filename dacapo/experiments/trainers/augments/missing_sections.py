"""Missing sections."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dacapo.config import config
from dacapo.experiments.trainers.augments.augment import Augment, Sample, Stage, sections
from dacapo.experiments.trainers.augments.augment_config import AugmentConfig

if TYPE_CHECKING:
    import numpy as np


@config("trainer/augments")
@dataclass(kw_only=True)
class MissingSectionsConfig(AugmentConfig):
    """Sections that were lost: raw is black there, labels stay."""

    share: float = 0.05
    """Probability of each section, along the first axis."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_share("share")

    def build(self) -> MissingSections:
        return MissingSections(self.p, self.share)


class MissingSections(Augment):
    """Whole sections of raw become 0."""

    stage = Stage.defect

    def __init__(self, p: float, share: float) -> None:
        super().__init__(p)
        self._share = share

    def change(self, sample: Sample, rng: np.random.Generator) -> Sample:
        raw = sample.raw.clone()
        for section in sections(raw, self._share, rng):
            raw[:, section] = 0
        return replace(sample, raw=raw)
