"""Networks of MONAI."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from dacapo.config import config, ranged
from dacapo.errors import InputError
from dacapo.experiments.architectures.wrapped import NetworkConfig

if TYPE_CHECKING:
    from torch import nn

    from dacapo.experiments.architectures.wrapped_architecture import WrappedArchitecture


class MonaiNetwork(Enum):
    """MONAI's names of networks."""

    swin_unetr = "SwinUNETR"
    segresnet = "SegResNet"
    dynunet = "DynUNet"
    mednext = "MedNeXt"


_PLAIN: dict[MonaiNetwork, dict[str, Any]] = {
    MonaiNetwork.dynunet: {
        "kernel_size": [3, 3, 3, 3],
        "strides": [1, 2, 2, 2],
        "upsample_kernel_size": [2, 2, 2],
    }
}
"""Arguments without a default in MONAI."""


@config("architecture")
@dataclass(kw_only=True)
class MonaiConfig(NetworkConfig):
    """A network of MONAI (pip install 'dacapo[monai]'), with MONAI's names for its arguments."""

    network: MonaiNetwork
    """swin_unetr (Hatamizadeh et al. 2022), segresnet (Myronenko 2018), dynunet (the network of
    nnU-Net, Isensee et al. 2021) or mednext (Roy et al. 2023)."""
    fmaps_out: int = ranged(16, low=1)
    """Feature maps given to the head."""

    def build(self) -> WrappedArchitecture:
        given = {
            "spatial_dims": len(self.input_shape),
            "in_channels": self.fmaps_in,
            "out_channels": self.fmaps_out,
            **_PLAIN.get(self.network, {}),
            **self.arguments,
        }
        return self.wrap(monai_class(self.network.value), f"monai ({self.network.name})", given)


def monai_class(name: str) -> Callable[..., nn.Module]:
    """Build a network of MONAI by its name.

    Raises:
        InputError: MONAI is not installed, or too old.
    """
    try:
        from monai.networks import nets
    except ModuleNotFoundError as error:
        raise InputError(
            "architecture=monai: not installed; pip install 'dacapo[monai]'"
        ) from error
    found: Callable[..., nn.Module] | None = getattr(nets, name, None)
    if found is None:
        raise InputError(f"architecture.network: this version of MONAI has no {name}")
    return found
