"""Models in the format of bioimage.io: a description, rdf.yaml, and files beside it.

https://github.com/bioimage-io/spec-bioimage-io, versions 0.4 and 0.5. Of the code in such a package
nothing is run: a network is known by its name, or it is not used.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from dacapo.errors import InputError

_YAML = (".yaml", ".yml")
_NAMES = ("rdf.yaml", "bioimageio.yaml", "model.yaml")


@dataclass(frozen=True)
class Package:
    """A model as its description tells it.

    Attributes:
        path: of the folder or zip file that holds all of it.
        network: the name of the class or function that makes it.
        library: the library it is imported from; empty where its source lies in the package.
        arguments: what it is made with.
        in_channels: of its input.
        least, step: spatial input sizes that fit are minimum + n * step, per axis; step 0: one
            size.
        preprocessing: names of what is to be done to raw first.
    """

    path: Path
    network: str
    library: str
    arguments: Mapping[str, Any]
    in_channels: int
    least: tuple[int, ...]
    step: tuple[int, ...]
    preprocessing: tuple[str, ...]
    weights: Mapping[str, Any] = field(repr=False)

    def read_weights(self, key: str) -> io.BytesIO:
        """The file of its state dict, as it was published.

        Raises:
            InputError: it is missing or was changed.
        """
        source = self.weights.get("source")
        data = _read(self.path, str(source), key)
        wanted = self.weights.get("sha256")
        if wanted is not None and hashlib.sha256(data).hexdigest() != wanted:
            raise InputError(f"{key}={self.path}: {source} is not what its sha256 says")
        return io.BytesIO(data)


def read_package(path: Path, key: str) -> Package:
    """Read the description in a folder, a zip file or a yaml.

    Args:
        key: that named it, for messages.

    Raises:
        InputError: there is none, or it has no state dict of PyTorch.
    """
    described = _description(path, key)
    weights = dict((described.get("weights") or {}).get("pytorch_state_dict") or {})
    inputs = described.get("inputs") or []
    if not weights or len(inputs) != 1:
        kinds = ", ".join(described.get("weights") or {}) or "none"
        raise InputError(
            f"{key}={path}: needs weights.pytorch_state_dict and one input; it has weights of "
            f"{kinds} and {len(inputs)} inputs"
        )
    try:
        network, library, arguments = _architecture(weights)
        axes = _axes(inputs[0])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{key}={path}: its description of the network or of its input lacks {error}"
        ) from error
    space = [name for name in axes if name in "zyx"]
    return Package(
        path.parent if path.suffix in _YAML else path,
        network,
        library,
        arguments,
        axes.get("c", (1, 0))[0],
        tuple(axes[name][0] for name in space),
        tuple(axes[name][1] for name in space),
        tuple(str(p.get("id", p.get("name"))) for p in inputs[0].get("preprocessing") or ()),
        weights,
    )


def _description(path: Path, key: str) -> Mapping[str, Any]:
    if path.suffix in _YAML:
        text = _read(path.parent, path.name, key)
    else:
        if not path.exists():
            raise InputError(f"{key}={path}: there is no such file or folder")
        found = [name for name in _NAMES if _has(path, name)]
        if not found:
            raise InputError(f"{key}={path}: holds none of {', '.join(_NAMES)}")
        text = _read(path, found[0], key)
    try:
        described = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"{key}={path}: its description is not valid yaml: {error}") from error
    if not isinstance(described, dict) or described.get("type") != "model":
        raise InputError(f"{key}={path}: does not describe a model of bioimage.io")
    return described


def _architecture(weights: Mapping[str, Any]) -> tuple[str, str, Mapping[str, Any]]:
    """Name, library and arguments: of 0.5, or the text `file.py:Name` of 0.4."""
    told = weights.get("architecture")
    if isinstance(told, dict):
        return str(told["callable"]), str(told.get("import_from", "")), told.get("kwargs") or {}
    name = str(told).replace(":", ".").split(".")[-1]
    library = "" if ":" in str(told) else str(told).rpartition(".")[0]
    return name, library, weights.get("kwargs") or {}


def _axes(tensor: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    """Name of each axis (b, c, z, y, x) -> its least size and the step of further ones."""
    axes = tensor["axes"]
    if isinstance(axes, str):  # 0.4
        shape = tensor["shape"]
        if isinstance(shape, dict):
            pairs = list(zip(shape["min"], shape["step"], strict=True))
        else:
            pairs = [(size, 0) for size in shape]
        return {name: (int(a), int(b)) for name, (a, b) in zip(axes, pairs, strict=True)}
    found = {}
    for axis in axes:
        kind = axis["type"]
        name = "c" if kind == "channel" else str(axis.get("id", kind))[0]
        if kind == "channel":
            size: Any = len(axis["channel_names"]) if "channel_names" in axis else axis["size"]
        else:
            size = axis.get("size", 1)
        is_free = isinstance(size, dict) and "min" in size
        least, step = (size["min"], size["step"]) if is_free else (size, 0)
        found[name] = (int(least) if isinstance(least, int) else 1, int(step))
    return found


def _has(path: Path, name: str) -> bool:
    if path.is_dir():
        return (path / name).is_file()
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as package:
        return name in package.namelist()


def _read(path: Path, name: str, key: str) -> bytes:
    """A file of a package; nothing outside of it."""
    if Path(name).is_absolute() or ".." in Path(name).parts or "://" in name:
        raise InputError(f"{key}={path}: {name} does not lie in the package: download it whole")
    try:
        if path.is_dir():
            return (path / name).read_bytes()
        with zipfile.ZipFile(path) as package:
            return package.read(name)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(f"{key}={path}: {name} cannot be read: {error}") from error
