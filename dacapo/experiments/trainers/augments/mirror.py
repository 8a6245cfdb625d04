"""Mirror."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dacapo.config import config
from dacapo.experiments.trainers.augments.augment import Augment, Sample, Stage
from dacapo.experiments.trainers.augments.augment_config import AugmentConfig

if TYPE_CHECKING:
    import numpy as np


@config("trainer/augments")
@dataclass(kw_only=True)
class MirrorConfig(AugmentConfig):
    """Mirror along each axis with probability 1/2."""

    def build(self) -> Mirror:
        return Mirror(self.p)


class Mirror(Augment):
    """Flip raw and labels alike."""

    stage = Stage.flip

    def change(self, sample: Sample, rng: np.random.Generator) -> Sample:
        dims = sample.gt.ndim
        axes = [axis - dims for axis in range(dims) if rng.random() < 0.5]
        return sample.moved(lambda volume, _: volume.flip(axes))
