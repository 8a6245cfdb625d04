"""Defocus."""

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
class DefocusConfig(SectionConfig):
    """Sections that were out of focus: raw is blurred within them."""

    radius: list[float] = field(default_factory=lambda: [1.0, 3.0])
    """Range of the radius of the circle that a point becomes, in voxels."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_range("radius", 0)

    def build(self) -> Defocus:
        return Defocus(self.p, self.share, (self.radius[0], self.radius[1]))


class Defocus(SectionAugment):
    """Whole sections of raw are convolved with a disk."""

    def __init__(self, p: float, share: float, radius: tuple[float, float]) -> None:
        super().__init__(p, share)
        self._radius = radius

    def corrupt(self, section: Tensor, rng: np.random.Generator) -> Tensor:
        from dacapo.ops.blur import disk_blur

        return disk_blur(section, rng.uniform(*self._radius))
