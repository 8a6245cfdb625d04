"""Missing sections."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dacapo.config import config
from dacapo.experiments.trainers.augments.section_augment import SectionAugment, SectionConfig

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


@config("trainer/augments")
@dataclass(kw_only=True)
class MissingSectionsConfig(SectionConfig):
    """Sections that were lost: raw is black there, labels stay."""

    def build(self) -> MissingSections:
        return MissingSections(self.p, self.share)


class MissingSections(SectionAugment):
    """Whole sections of raw become 0."""

    def corrupt(self, section: Tensor, rng: np.random.Generator) -> Tensor:
        return section * 0
