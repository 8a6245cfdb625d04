"""Backbones: configs at once, networks on demand."""

from typing import TYPE_CHECKING

from dacapo.experiments.architectures.architecture_config import ArchitectureConfig
from dacapo.experiments.architectures.unet import Padding, UNetConfig
from dacapo.lazy import lazy_exports

if TYPE_CHECKING:
    from dacapo.experiments.architectures.architecture import Architecture
    from dacapo.experiments.architectures.unet_architecture import UNetArchitecture

__all__ = ["Architecture", "ArchitectureConfig", "Padding", "UNetArchitecture", "UNetConfig"]

__getattr__ = lazy_exports(
    __name__, {"Architecture": "architecture", "UNetArchitecture": "unet_architecture"}
)
