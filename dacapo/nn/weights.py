"""Weights in files, and loading them into a network that may differ."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from dacapo.errors import InputError

HEAD = "prediction_head."
_WRAPPERS = ("module.", "_orig_mod.")
"""Prefixes that torch's wrappers add to names."""
# Exceptions of torch.load and safetensors for files of another kind.
_UNREADABLE = (
    OSError, RuntimeError, ValueError, KeyError, IndexError, TypeError, AttributeError, EOFError,
    SafetensorError, pickle.UnpicklingError,
)  # fmt: skip


@dataclass(frozen=True)
class Weights:
    """The tensors of a network by name.

    Attributes:
        channels: names of the channels of its head, in order; empty if unknown.
    """

    tensors: Mapping[str, Tensor]
    channels: Sequence[str] = field(default=())

    @classmethod
    def of_checkpoint(cls, tensors: Mapping[str, Tensor], notes: Mapping[str, str]) -> Weights:
        """The weights of a run's checkpoint: their moving average, if it has one."""
        found = {**_below("model.", tensors), **_below("ema.", tensors)}
        return cls(found, json.loads(notes.get("channels", "[]")))


def read_weights(path: Path, key: str) -> Weights:
    """Read the weights of a network from a run's checkpoint or a plain state dict.

    Args:
        key: the config key that named the file, for messages.

    Raises:
        InputError: the file cannot be read or does not contain weights; no code in it is run.
    """
    if not path.is_file():
        raise InputError(f"{key}={path}: file not found")
    if path.suffix != ".safetensors":
        tensors, notes = read_state_dict(path, f"{key}={path}"), {}
    else:
        try:
            with safe_open(path, "pt") as file:
                notes = dict(file.metadata() or {})
                tensors = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
        except _UNREADABLE as error:
            raise InputError(f"{key}={path}: cannot be read as weights: {error}") from error
    for prefix in _WRAPPERS:
        if all(name.startswith(prefix) for name in tensors):
            tensors = _below(prefix, tensors)
    if any(name.startswith("model.") for name in tensors):
        return Weights.of_checkpoint(tensors, notes)
    return Weights(tensors)


def read_state_dict(file: Path | BinaryIO, source: str) -> dict[str, Tensor]:
    """The tensors in a file written by torch.save; no code in it is run.

    Args:
        source: describes the file, for messages.

    Raises:
        InputError: the file cannot be read or does not contain weights.
    """
    try:
        tensors = torch.load(file, map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        raise InputError(
            f"{source}: cannot be read as weights: give a .safetensors file, or one written by "
            f"torch.save that contains only tensors"
        ) from error
    if not isinstance(tensors, dict) or not all(isinstance(t, Tensor) for t in tensors.values()):
        raise InputError(f"{source}: is not a dict of names and tensors (a state dict)")
    return tensors


def fit(network: nn.Module, weights: Weights, channels: Sequence[str], source: str) -> str:
    """Load weights that fit by name and shape; rows of a head are matched by channel names.

    Args:
        channels: names of the channels of the network's head.
        source: describes the origin of the weights, for messages.

    Returns:
        One line on which weights were loaded and which were not.

    Raises:
        InputError: no weight fits except perhaps the head, or a weight is not finite.
    """
    state = network.state_dict()
    # Whole numbers count something, such as the steps of batch norm: not what would make it fit.
    ours = {k: v for k, v in state.items() if v.is_floating_point()}
    loaded: dict[str, Tensor] = {}
    missing: list[str] = []
    for name, value in ours.items():
        theirs = weights.tensors.get(name)
        if name.startswith(HEAD) and theirs is not None and weights.channels:
            theirs = _rows(value, theirs, channels, weights.channels)
        if theirs is None or theirs.shape != value.shape:
            there = "nothing" if theirs is None else list(theirs.shape)
            missing.append(f"{name} ({list(value.shape)} here, {there} there)")
        elif not torch.isfinite(theirs).all():
            raise InputError(f"{source}: {name} is not finite")
        else:
            loaded[name] = theirs
    if not any(not name.startswith(HEAD) for name in loaded):
        raise InputError(f"{source}: no weight fits this run's architecture: {missing[0]}")
    for name, value in state.items():
        theirs = weights.tensors.get(name)
        if name not in ours and theirs is not None and theirs.shape == value.shape:
            loaded[name] = theirs
    message = f"{source}: loaded {len(ours) - len(missing)} of {len(ours)} weights"
    network.load_state_dict(loaded, strict=False)
    unknown = [c for c in channels if weights.channels and c not in weights.channels]
    if unknown:
        message += f"; channels of the head that stay newly initialised: {', '.join(unknown)}"
    return message + (f"; also newly initialised: {'; '.join(missing)}" if missing else "")


def load_all(network: nn.Module, weights: Mapping[str, Tensor], source: str) -> None:
    """Load all weights of a network, which must match exactly.

    Args:
        source: describes the origin of the weights, for messages.

    Raises:
        InputError: a name or a shape differs, or a weight is not finite.
    """
    ours = network.state_dict()
    differ = [n for n, v in ours.items() if n not in weights or weights[n].shape != v.shape]
    if differ:
        name = differ[0]
        theirs = list(weights[name].shape) if name in weights else "nothing"
        raise InputError(
            f"{source}: {len(differ)} of the model's {len(ours)} weights do not fit, the first is "
            f"{name}: {list(ours[name].shape)} here, {theirs} there; choose the architecture and "
            f"the sub_task that it was trained with"
        )
    unused = sorted(set(weights) - set(ours))
    if unused:
        raise InputError(f"{source}: contains {unused[0]}, which this model does not have")
    for name in ours:
        if not torch.isfinite(weights[name]).all():
            raise InputError(f"{source}: {name} is not finite")
    network.load_state_dict({name: weights[name] for name in ours})


def _rows(
    ours: Tensor, theirs: Tensor, channels: Sequence[str], their_channels: Sequence[str]
) -> Tensor:
    """The weight of our head, with rows taken from theirs for channels of the same name."""
    if ours.shape[1:] != theirs.shape[1:] or len(ours) != len(channels):
        return theirs
    rows = ours.clone()
    for row, channel in enumerate(channels):
        if channel in their_channels:
            rows[row] = theirs[their_channels.index(channel)]
    return rows


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
