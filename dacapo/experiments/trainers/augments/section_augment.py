"""Defects of single sections."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dacapo.errors import InputError
from dacapo.experiments.trainers.augments.augment import Augment, Sample, Stage
from dacapo.experiments.trainers.augments.augment_config import AugmentConfig

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


@dataclass(kw_only=True)
class SectionConfig(AugmentConfig):
    """Spoil sections of raw, along the first axis; labels stay. 2D data has none."""

    share: float = 0.05
    """Probability of each section."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.share <= 1:
            raise InputError(f"{self._key}.share={self.share} must lie between 0 and 1")


class SectionAugment(Augment):
    """Changes sections of raw one by one, each with probability `share`."""

    stage = Stage.defect

    def __init__(self, p: float, share: float) -> None:
        super().__init__(p)
        self._share = share

    @abstractmethod
    def corrupt(self, section: Tensor, rng: np.random.Generator) -> Tensor:
        """A section (C, Y, X), changed."""

    def change(self, sample: Sample, rng: np.random.Generator) -> Sample:
        if sample.gt.ndim != 3:
            return sample
        raw = sample.raw.clone()
        for number, chance in enumerate(rng.random(raw.shape[1])):
            if chance < self._share:
                raw[:, number] = self.corrupt(raw[:, number], rng)
        return replace(sample, raw=raw)
