"""Augmentations: one file and one yaml each, in three stages."""

from dacapo.experiments.trainers.augments.augment_config import AugmentConfig
from dacapo.experiments.trainers.augments.elastic import ElasticConfig
from dacapo.experiments.trainers.augments.gamma import GammaConfig
from dacapo.experiments.trainers.augments.intensity import IntensityConfig
from dacapo.experiments.trainers.augments.mirror import MirrorConfig
from dacapo.experiments.trainers.augments.noise import NoiseConfig
from dacapo.experiments.trainers.augments.transpose import TransposeConfig

__all__ = [
    "AugmentConfig",
    "ElasticConfig",
    "GammaConfig",
    "IntensityConfig",
    "MirrorConfig",
    "NoiseConfig",
    "TransposeConfig",
]
