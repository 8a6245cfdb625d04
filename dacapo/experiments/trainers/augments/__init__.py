"""Augmentations: one file and one yaml each, in a declared order."""

from dacapo.experiments.trainers.augments.augment_config import AugmentConfig
from dacapo.experiments.trainers.augments.blur import BlurConfig
from dacapo.experiments.trainers.augments.contrast import ContrastConfig
from dacapo.experiments.trainers.augments.cutout import CutoutConfig
from dacapo.experiments.trainers.augments.dark_sections import DarkSectionsConfig
from dacapo.experiments.trainers.augments.defocus import DefocusConfig
from dacapo.experiments.trainers.augments.elastic import ElasticConfig
from dacapo.experiments.trainers.augments.gamma import GammaConfig
from dacapo.experiments.trainers.augments.intensity import IntensityConfig
from dacapo.experiments.trainers.augments.low_resolution import LowResolutionConfig
from dacapo.experiments.trainers.augments.mirror import MirrorConfig
from dacapo.experiments.trainers.augments.misalignment import MisalignmentConfig
from dacapo.experiments.trainers.augments.missing_sections import MissingSectionsConfig
from dacapo.experiments.trainers.augments.noise import NoiseConfig
from dacapo.experiments.trainers.augments.poisson import PoissonConfig
from dacapo.experiments.trainers.augments.rotate import RotateConfig
from dacapo.experiments.trainers.augments.salt_and_pepper import SaltAndPepperConfig
from dacapo.experiments.trainers.augments.scale import ScaleConfig
from dacapo.experiments.trainers.augments.shear import ShearConfig
from dacapo.experiments.trainers.augments.shifted_sections import ShiftedSectionsConfig
from dacapo.experiments.trainers.augments.transpose import TransposeConfig

__all__ = [
    "AugmentConfig",
    "BlurConfig",
    "ContrastConfig",
    "CutoutConfig",
    "DarkSectionsConfig",
    "DefocusConfig",
    "ElasticConfig",
    "GammaConfig",
    "IntensityConfig",
    "LowResolutionConfig",
    "MirrorConfig",
    "MisalignmentConfig",
    "MissingSectionsConfig",
    "NoiseConfig",
    "PoissonConfig",
    "RotateConfig",
    "SaltAndPepperConfig",
    "ScaleConfig",
    "ShearConfig",
    "ShiftedSectionsConfig",
    "TransposeConfig",
]
