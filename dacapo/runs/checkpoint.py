"""Checkpoints: tensors in a safetensors file, with a checksum over all of them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, uint8

from dacapo.runs.atomic import write_atomically


class CheckpointError(Exception):
    """A checkpoint is truncated or damaged."""


def write_checkpoint(path: Path, tensors: Mapping[str, Tensor], notes: Mapping[str, str]) -> None:
    """Write tensors and notes atomically."""
    ours: dict[str, Tensor] = {}
    seen: set[int] = set()
    for key, tensor in tensors.items():
        value = tensor.detach().cpu().contiguous()
        # Two layers may share one tensor, which the format cannot represent.
        ours[key] = value.clone() if value.data_ptr() in seen else value
        seen.add(value.data_ptr())
    write_atomically(path, save(ours, {**notes, "checksum": _checksum(ours)}))


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors, on the CPU, and the notes.

    Raises:
        CheckpointError: the file is truncated or damaged.
    """
    try:
        with safe_open(path, "pt") as file:
            notes = dict(file.metadata() or {})
            tensors = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118 (no mapping)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: {error}") from error
    if notes.pop("checksum", None) != _checksum(tensors):
        raise CheckpointError(f"{path}: its checksum does not match its content")
    return tensors, notes


def _checksum(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(uint8).numpy().data)
    return digest.hexdigest()
