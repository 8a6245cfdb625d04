"""Backbones: their configs, and the networks, which are imported on demand."""

from typing import TYPE_CHECKING

from dacapo.experiments.architectures.architecture_config import ArchitectureConfig, ShapedConfig
from dacapo.experiments.architectures.bioimageio import BioimageioConfig
from dacapo.experiments.architectures.monai import MonaiConfig, MonaiNetwork
from dacapo.experiments.architectures.residual_encoder import ResidualEncoderConfig
from dacapo.experiments.architectures.unet_config import Norm, Padding, UNetConfig
from dacapo.experiments.architectures.wrapped import WrappedConfig, network
from dacapo.experiments.lazy import lazy_exports

if TYPE_CHECKING:
    from dacapo.experiments.architectures.architecture import Architecture
    from dacapo.experiments.architectures.unet_architecture import UNetArchitecture

__all__ = [
    "Architecture",
    "ArchitectureConfig",
    "BioimageioConfig",
    "MonaiConfig",
    "MonaiNetwork",
    "Norm",
    "Padding",
    "ResidualEncoderConfig",
    "ShapedConfig",
    "UNetArchitecture",
    "UNetConfig",
    "WrappedConfig",
    "network",
]

__getattr__ = lazy_exports(
    __name__, {"Architecture": "architecture", "UNetArchitecture": "unet_architecture"}
)
