"""Augmentations: each a dataclass in the file of its kind, with a yaml of its name."""

from dacapo.experiments.trainers.augments.augment import Augment, Sample, Stage
from dacapo.experiments.trainers.augments.defects import (
    Cutout,
    DarkSections,
    Defocus,
    Misalignment,
    MissingSections,
    ShiftedSections,
)
from dacapo.experiments.trainers.augments.geometric import (
    Elastic,
    Extent,
    Mirror,
    Rotate,
    Scale,
    Shear,
    Transpose,
    WarpAugment,
)
from dacapo.experiments.trainers.augments.intensities import (
    Blur,
    Contrast,
    Gamma,
    Intensity,
    LowResolution,
    Noise,
    Poisson,
    SaltAndPepper,
)

__all__ = [
    "Augment",
    "Blur",
    "Contrast",
    "Cutout",
    "DarkSections",
    "Defocus",
    "Elastic",
    "Extent",
    "Gamma",
    "Intensity",
    "LowResolution",
    "Mirror",
    "Misalignment",
    "MissingSections",
    "Noise",
    "Poisson",
    "Rotate",
    "SaltAndPepper",
    "Sample",
    "Scale",
    "Shear",
    "ShiftedSections",
    "Stage",
    "Transpose",
    "WarpAugment",
]
