"""SaltAndPepper and pepper."""

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
class SaltAndPepperConfig(AugmentConfig):
    """Single voxels that are white or black."""

    share: list[float] = field(default_factory=lambda: [0.0, 0.02])
    """Range of the share of voxels that are hit."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_range("share", 0, 1)

    def build(self) -> SaltAndPepper:
        return SaltAndPepper(self.p, (self.share[0], self.share[1]))


class SaltAndPepper(Augment):
    """Half of the voxels that are hit become 1, half 0, in all channels alike."""

    stage = Stage.intensity

    def __init__(self, p: float, share: tuple[float, float]) -> None:
        super().__init__(p)
        self._share = share

    def change(self, sample: Sample, rng: np.random.Generator) -> Sample:
        import torch

        share = rng.uniform(*self._share)
        raw = sample.raw
        draws = torch.Generator(raw.device).manual_seed(int(rng.integers(2**62)))
        chance = torch.rand(raw.shape[1:], generator=draws, device=raw.device)
        white = (chance < share / 2).to(raw.dtype)
        return replace(sample, raw=torch.where(chance < share, white, raw))
