"""Cutout."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from dacapo.config import config
from dacapo.experiments.trainers.augments.augment import Augment, Sample, Stage
from dacapo.experiments.trainers.augments.augment_config import AugmentConfig

if TYPE_CHECKING:
    import numpy as np


@config("trainer/augments")
@dataclass(kw_only=True)
class CutoutConfig(AugmentConfig):
    """Boxes in which raw shows nothing; labels stay, so the network must fill in."""

    num: list[int] = field(default_factory=lambda: [1, 4])
    """Range of how many."""
    size: list[float] = field(default_factory=lambda: [0.05, 0.25])
    """Range of their edges, as a share of the sample's along each axis."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_range("num", 0)
        self._check_range("size", 0, 1)

    def build(self) -> Cutout:
        return Cutout(self.p, (self.num[0], self.num[1]), (self.size[0], self.size[1]))


class Cutout(Augment):
    """Boxes become the mean of the sample. DeVries and Taylor 2017."""

    stage = Stage.defect

    def __init__(self, p: float, num: tuple[int, int], size: tuple[float, float]) -> None:
        super().__init__(p)
        self._num, self._size = num, size

    def change(self, sample: Sample, rng: np.random.Generator) -> Sample:
        raw = sample.raw.clone()
        mean = raw.mean()
        for _ in range(rng.integers(self._num[0], self._num[1] + 1)):
            box = []
            for length in raw.shape[1:]:
                edge = max(1, round(length * rng.uniform(*self._size)))
                begin = int(rng.integers(length - edge + 1))
                box.append(slice(begin, begin + edge))
            raw[:, *box] = mean
        return replace(sample, raw=raw)
