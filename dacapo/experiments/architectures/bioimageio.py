"""A network of bioimage.io."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import MISSING

from dacapo.config import config, decode
from dacapo.errors import InputError
from dacapo.experiments.architectures.architecture_config import ArchitectureConfig
from dacapo.experiments.architectures.monai import MonaiNetwork, monai_class
from dacapo.experiments.architectures.wrapped import NetworkConfig, networks

if TYPE_CHECKING:
    from torch import nn

    from dacapo.experiments.architectures.architecture import Architecture
    from dacapo.nn.bioimageio import Package


@config("architecture")
@dataclass(kw_only=True)
class BioimageioConfig(NetworkConfig):
    """The network of a model of bioimage.io, or of one that dacapo.export has written, with a new
    head.

    start=bioimageio loads its weights. Code in the package is never run: the network must be one of
    MONAI's, or one that your script registers with `@network` under the name given there.
    """

    path: str = MISSING
    """The package: a zip file, a folder, or its rdf.yaml."""

    def build(self) -> Architecture:
        from dacapo.nn.bioimageio import read_package

        package = read_package(Path(self.path), "architecture.path")
        if package.is_own:
            return self._exported(package.own_config["architecture"])
        if package.in_channels != self.fmaps_in:
            raise InputError(
                f"architecture.fmaps_in={self.fmaps_in}: {self.path} takes {package.in_channels} "
                f"channels"
            )
        self._check_shape(package)
        arguments = {**package.arguments, **self.arguments}
        return self.wrap(_made_by(package), f"bioimageio ({package.network})", arguments)

    def _exported(self, plain: Mapping[str, Any]) -> Architecture:
        """The architecture that was exported, for other shapes."""
        known = decode(plain, "architecture")
        if not isinstance(known, ArchitectureConfig):
            raise InputError(f"architecture.path={self.path} holds no architecture")
        given = {name: getattr(self, name) for name in ("fmaps_in", "input_shape")}
        if self.eval_shape_increase is not None:
            given["eval_shape_increase"] = self.eval_shape_increase
        return replace(known, **given).build()

    def _check_shape(self, package: Package) -> None:
        if len(package.minimum) != len(self.input_shape):
            raise InputError(
                f"architecture.input_shape={self.input_shape}: {self.path} has "
                f"{len(package.minimum)} spatial axes"
            )
        sizes = zip(self.input_shape, package.minimum, package.step, strict=True)
        if any(n < low or (step and (n - low) % step) for n, low, step in sizes):
            raise InputError(
                f"architecture.input_shape={self.input_shape}: {self.path} takes sizes of "
                f"{list(package.minimum)} and multiples of {list(package.step)} more"
            )


def _made_by(package: Package) -> Callable[..., nn.Module]:
    if package.network in networks:
        return networks[package.network]
    if package.library.startswith("monai.") and package.network in {n.value for n in MonaiNetwork}:
        return monai_class(package.network)
    raise InputError(
        f"architecture.path={package.path}: its network is {package.network} of "
        f"{package.library or 'its own source file'}, which is neither one of MONAI's nor "
        f"registered, and code of packages is never run: write a class of that name in your "
        f"script, and decorate it with @network of dacapo.experiments.architectures"
    )
