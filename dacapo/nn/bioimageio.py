"""Models in the format of bioimage.io: a description, rdf.yaml, and its files.

Descriptions are parsed by `bioimageio.spec`, the official library (versions 0.4 and 0.5). Code in a
package is never run: a network is known by its name, or it is refused.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dacapo.errors import InputError
from dacapo.processes.files import check_yaml

OWN_LIBRARY = "dacapo.export"
"""The module that a package of `dacapo.export` names as the source of its network."""

_YAML = (".yaml", ".yml")
_MAX_DESCRIPTION = 2**20
"""Size of a description in bytes that is believed; the largest ones are a tenth of it."""
_MAX_UNPACKED = 2**28
_MAX_RATIO = 20
"""Weights hardly shrink in a zip file: one that grows more when unpacked is refused."""


@dataclass(frozen=True)
class Package:
    """A model according to its description.

    Attributes:
        path: the folder or zip file that contains all of it.
        network: name of the class or function that builds the network.
        library: the library of the network; empty if its source is in the package.
        arguments: keyword arguments of the network.
        in_channels: number of input channels.
        minimum, step: valid spatial input sizes are minimum + n * step, per axis; step 0: only the
            minimum.
        preprocessing: names of the steps that raw needs first.
        weights_source, weights_sha256: the file of its state dict, and its digest if given.
        own_config: what `dacapo.export` has written of the model; empty in another's package.
    """

    path: Path
    network: str
    library: str
    arguments: Mapping[str, Any]
    in_channels: int
    minimum: tuple[int, ...]
    step: tuple[int, ...]
    preprocessing: tuple[str, ...]
    weights_source: str
    weights_sha256: str | None
    own_config: Mapping[str, Any]

    @property
    def is_own(self) -> bool:
        """Whether `dacapo.export` has written it."""
        return self.library == OWN_LIBRARY and bool(self.own_config)

    def read_weights(self, key: str) -> io.BytesIO:
        """The file of its state dict, verified against its digest.

        Raises:
            InputError: the file is missing, or does not match its digest.
        """
        data = _read(self.path, self.weights_source, key)
        wanted = self.weights_sha256
        if wanted is not None and hashlib.sha256(data).hexdigest() != wanted:
            raise InputError(f"{key}={self.path}: {self.weights_source} does not match its sha256")
        return io.BytesIO(data)


def read_package(path: Path, key: str) -> Package:
    """Read the description in a folder, a zip file or a yaml.

    Args:
        key: the config key that named it, for messages.

    Raises:
        InputError: the description is missing or not valid, or has no PyTorch state dict.
    """
    description = _description(path, key)
    weights = description.weights.pytorch_state_dict
    inputs = description.inputs
    if weights is None or len(inputs) != 1:
        kinds = ", ".join(name for name, w in description.weights if w is not None) or "none"
        raise InputError(
            f"{key}={path}: needs weights.pytorch_state_dict and one input; it has weights of "
            f"{kinds} and {len(inputs)} inputs"
        )
    is_old = description.format_version.startswith("0.4")
    network, library, arguments = (_architecture_04 if is_old else _architecture_05)(weights)
    sizes = (_sizes_04 if is_old else _sizes_05)(inputs[0])
    spatial = [sizes[name] for name in sizes if name in "zyx"]
    return Package(
        path.parent if path.suffix in _YAML else path,
        network,
        library,
        arguments,
        sizes.get("c", (1, 0))[0],
        tuple(minimum for minimum, _ in spatial),
        tuple(step for _, step in spatial),
        tuple(str(getattr(p, "id", None) or p.name) for p in inputs[0].preprocessing or ()),
        str(weights.source.path if hasattr(weights.source, "path") else weights.source),
        None if weights.sha256 is None else str(weights.sha256),
        {} if is_old else _own_config(description),
    )


def _own_config(description: Any) -> Mapping[str, Any]:
    found = (description.config.model_extra or {}).get("dacapo")
    return found if isinstance(found, dict) else {}


def _description(path: Path, key: str) -> Any:
    """The parsed description; its files are not read."""
    if not path.exists():
        raise InputError(f"{key}={path}: no such file or folder")
    _check_size(path, key)
    try:
        from bioimageio.spec import InvalidDescr, ValidationContext, load_description
        from ruyaml.error import YAMLError
    except ModuleNotFoundError as error:
        raise InputError(
            f"{key}={path}: needs the package bioimageio.spec: pip install 'dacapo[bioimageio]'"
        ) from error
    try:
        _check_descriptions(path, key)
        with ValidationContext(perform_io_checks=False):
            description = load_description(path)
    except InputError:
        raise
    except (OSError, ValueError, TypeError, LookupError, zipfile.BadZipFile, YAMLError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{key}={path} is not a package of bioimage.io: {reason}") from error
    if isinstance(description, InvalidDescr):
        errors = [e for d in description.validation_summary.details for e in d.errors]
        place = ".".join(map(str, errors[0].loc)) if errors else "?"
        message = errors[0].msg if errors else "it is not valid"
        raise InputError(
            f"{key}={path}: its description is not valid ({len(errors)} errors): {place}: {message}"
        )
    if description.type != "model":
        raise InputError(f"{key}={path} describes a {description.type}, not a model")
    return description


def _check_size(path: Path, key: str) -> None:
    """Refuse a zip file that would fill the memory when it is unpacked."""
    if path.is_dir() or path.suffix in _YAML:
        return
    try:
        with zipfile.ZipFile(path) as package:
            unpacked = sum(member.file_size for member in package.infolist())
    except (OSError, zipfile.BadZipFile) as error:
        raise InputError(f"{key}={path} is not a package of bioimage.io: {error}") from error
    if unpacked > max(_MAX_UNPACKED, _MAX_RATIO * path.stat().st_size):
        raise InputError(
            f"{key}={path}: {path.stat().st_size} bytes would become {unpacked} when unpacked, "
            f"which is not a model: unpack it yourself if you trust it, and give the folder"
        )


def _check_descriptions(path: Path, key: str) -> None:
    """Refuse a description that is huge, or becomes so when its aliases are followed."""
    for name, text in _descriptions(path):
        if len(text) > _MAX_DESCRIPTION:
            raise InputError(f"{key}={path}: {name} is larger than {_MAX_DESCRIPTION} bytes")
        check_yaml(text)


def _descriptions(path: Path) -> Iterator[tuple[str, bytes]]:
    """The yaml files at the top of a package, each up to one byte more than is believed."""
    if path.is_dir() or path.suffix in _YAML:
        files = [path] if path.suffix in _YAML else sorted(path.glob("*.y*ml"))
        for file in files:
            with file.open("rb") as opened:
                yield file.name, opened.read(_MAX_DESCRIPTION + 1)
        return
    with zipfile.ZipFile(path) as package:
        for name in package.namelist():
            if name.endswith(_YAML) and "/" not in name:
                with package.open(name) as member:
                    yield name, member.read(_MAX_DESCRIPTION + 1)


def _architecture_05(weights: Any) -> tuple[str, str, Mapping[str, Any]]:
    """Name, library and arguments of the network."""
    made_by = weights.architecture
    library = getattr(made_by, "import_from", "")
    return str(made_by.callable), str(library), dict(made_by.kwargs)


def _architecture_04(weights: Any) -> tuple[str, str, Mapping[str, Any]]:
    """Name and library from a string: `file.py:Name` or `library.module.Name`."""
    made_by = str(weights.architecture)
    name = made_by.replace(":", ".").split(".")[-1]
    library = "" if ":" in made_by else made_by.rpartition(".")[0]
    return name, library, dict(weights.kwargs or {})


def _sizes_05(tensor: Any) -> dict[str, tuple[int, int]]:
    """Letter of each axis (b, c, z, y, x) -> its smallest size, and the step to larger ones."""
    sizes = {}
    for axis in tensor.axes:
        size = axis.size
        is_free = hasattr(size, "min")
        minimum, step = (size.min, size.step) if is_free else (size, 0)
        letter = "c" if axis.type == "channel" else str(axis.id)[0]
        sizes[letter] = (int(minimum) if isinstance(minimum, int) else 1, int(step))
    return sizes


def _sizes_04(tensor: Any) -> dict[str, tuple[int, int]]:
    shape = tensor.shape
    if hasattr(shape, "min"):
        pairs = list(zip(shape.min, shape.step, strict=True))
    else:
        pairs = [(size, 0) for size in shape]
    return {a: (int(m), int(s)) for a, (m, s) in zip(str(tensor.axes), pairs, strict=True)}


def _read(path: Path, name: str, key: str) -> bytes:
    """A file inside a package; paths that leave it are refused."""
    if Path(name).is_absolute() or ".." in Path(name).parts or "://" in name:
        raise InputError(f"{key}={path}: {name} is not in the package: download all of its files")
    try:
        if path.is_dir():
            return (path / name).read_bytes()
        with zipfile.ZipFile(path) as package:
            return package.read(name)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(f"{key}={path}: {name} cannot be read: {error}") from error
