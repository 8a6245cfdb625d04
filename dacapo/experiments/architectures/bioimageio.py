"""A network of bioimage.io."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
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
    from dacapo.experiments.architectures.wrapped_architecture import WrappedArchitecture
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
        return self.resolved().build()

    def resolved(self) -> ArchitectureConfig:
        """The network of the package, by its name and arguments.

        Raises:
            InputError: the package cannot be read, or does not take these options.
        """
        from dacapo.nn.bioimageio import read_package

        package = read_package(Path(self.path), "architecture.path")
        if package.in_channels != self.fmaps_in:
            raise InputError(
                f"architecture.fmaps_in={self.fmaps_in}: {self.path} takes {package.in_channels} "
                f"channels"
            )
        if package.is_own:
            return self._exported(package.own_config)
        self._check_shape(package)
        shared = {f.name: getattr(self, f.name) for f in fields(NetworkConfig)}
        shared["arguments"] = {**package.arguments, **self.arguments}
        return PackagedConfig(network=package.network, library=package.library, **shared)

    def _exported(self, own: Mapping[str, Any]) -> ArchitectureConfig:
        """The architecture that was exported, for other shapes."""
        for name in ("arguments", "period", "halo"):
            if getattr(self, name):
                raise InputError(
                    f"architecture.{name}: {self.path} says so itself; change input_shape, "
                    f"fmaps_in and eval_shape_increase only"
                )
        known = decode(own.get("architecture"), "architecture")
        if not isinstance(known, ArchitectureConfig) or isinstance(known, BioimageioConfig):
            raise InputError(f"architecture.path={self.path} holds no architecture")
        given: dict[str, Any] = {"fmaps_in": self.fmaps_in, "input_shape": self.input_shape}
        if self.eval_shape_increase is not None:
            given["eval_shape_increase"] = self.eval_shape_increase
        return replace(known, **given)

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


@config("architecture")
@dataclass(kw_only=True)
class PackagedConfig(NetworkConfig):
    """The network of a package of bioimage.io, which need not be there any more."""

    network: str
    """Its name."""
    library: str = ""
    """The module that it comes from."""

    def build(self) -> WrappedArchitecture:
        name = f"bioimageio ({self.network})"
        return self.wrap(_made_by(self.network, self.library), name, self.arguments)


def _made_by(name: str, library: str) -> Callable[..., nn.Module]:
    if name in networks:
        return networks[name]
    if library.startswith("monai.") and name in {n.value for n in MonaiNetwork}:
        return monai_class(name)
    raise InputError(
        f"architecture=bioimageio: its network is {name} of {library or 'its own source file'}, "
        f"which is neither one of MONAI's nor registered, and code of packages is never run: write "
        f"a class of that name in your script, and decorate it with @network of "
        f"dacapo.experiments.architectures"
    )
