"""Dark sections."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dacapo.config import config
from dacapo.experiments.trainers.augments.section_augment import SectionAugment, SectionConfig

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


@config("trainer/augments")
@dataclass(kw_only=True)
class DarkSectionsConfig(SectionConfig):
    """Sections that were stained or exposed otherwise: of less contrast, and darker."""

    factor: list[float] = field(default_factory=lambda: [0.2, 0.7])
    """Range of what is left of their intensity."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_range("factor", 0)

    def build(self) -> DarkSections:
        return DarkSections(self.p, self.share, (self.factor[0], self.factor[1]))


class DarkSections(SectionAugment):
    """Whole sections of raw are multiplied by a factor."""

    def __init__(self, p: float, share: float, factor: tuple[float, float]) -> None:
        super().__init__(p, share)
        self._factor = factor

    def corrupt(self, section: Tensor, rng: np.random.Generator) -> Tensor:
        return section * rng.uniform(*self._factor)
