"""Checkpoints: tensors and the history that led to them in a safetensors file, with a checksum."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from dacapo.errors import InputError
from dacapo.experiments.score_table import ScoreHeader
from dacapo.experiments.validation_iteration_scores import ValidationIterationScores
from dacapo.processes.files import write_atomically
from dacapo.runs.history import STEP_COLUMNS, Past

_PAST = "history."


class CheckpointError(Exception):
    """A checkpoint is truncated or damaged."""


def write_checkpoint(
    path: Path,
    tensors: Mapping[str, Tensor],
    notes: Mapping[str, str],
    past: Past | None = None,
    before_rename: Callable[[], None] = lambda: None,
) -> None:
    """Write tensors, notes and the history that led to them atomically.

    Args:
        past: lets a run resume from this file alone, should its logs be damaged.
        before_rename: see `write_atomically`.
    """
    ours: dict[str, Tensor] = {}
    seen: set[int] = set()
    for key, tensor in {**tensors, **_past_tensors(past)}.items():
        value = tensor.detach().cpu().contiguous()
        # Two layers may share one tensor, which the format cannot represent.
        ours[key] = value.clone() if value.data_ptr() in seen else value
        seen.add(value.data_ptr())
    header = past.header.encode().decode() if past is not None and past.header is not None else ""
    all_notes = {**notes, "header": header}
    content = save(ours, {**all_notes, "checksum": _checksum(ours, all_notes)})
    write_atomically(path, content, before_rename)


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, str], Past | None]:
    """The tensors, on the CPU, the notes, and the history if there is one.

    Raises:
        CheckpointError: the file is truncated or damaged.
        InputError: the disk cannot be read.
    """
    try:
        if not path.is_file():
            raise CheckpointError(f"{path}: not a file")
        with safe_open(path, "pt") as file:
            notes = dict(file.metadata() or {})
            tensors = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118 (no mapping)
    except SafetensorError as error:
        raise CheckpointError(f"{path}: {error}") from error
    except OSError as error:  # of the disk, which may recover; the file may be whole
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    if notes.pop("checksum", None) != _checksum(tensors, notes):
        raise CheckpointError(f"{path}: its checksum does not match its content")
    header = notes.pop("header", "")
    past = {name: tensors.pop(_PAST + name, None) for name in ("steps", "iterations", "scores")}
    try:
        return tensors, notes, _read_past(header, **past)
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}") from error


def _past_tensors(past: Past | None) -> dict[str, Tensor]:
    """The history as tensors; the scores are (validations, datasets, parameters, criteria)."""
    if past is None:
        return {}
    return {
        f"{_PAST}steps": torch.from_numpy(np.ascontiguousarray(past.steps)),
        f"{_PAST}iterations": torch.tensor([s.iteration for s in past.scores], dtype=torch.int64),
        f"{_PAST}scores": torch.tensor([s.scores for s in past.scores], dtype=torch.float64),
    }


def _read_past(
    header: str, steps: Tensor | None, iterations: Tensor | None, scores: Tensor | None
) -> Past | None:
    if steps is None or iterations is None or scores is None:
        return None
    decoded = ScoreHeader.decode(header.encode()) if header else None
    shape = (len(iterations.reshape(-1)), *(decoded.shape if decoded is not None else ()))
    if steps.ndim != 2 or steps.shape[1] != len(STEP_COLUMNS) or iterations.ndim != 1:
        raise ValueError("its history has another shape")
    if len(iterations) and tuple(scores.shape) != shape:
        raise ValueError("its scores do not fit their header")
    validations = zip(iterations.tolist(), scores.tolist(), strict=True)
    return Past(
        steps.numpy(),
        [ValidationIterationScores(iteration, values) for iteration, values in validations],
        decoded,
    )


def _checksum(tensors: Mapping[str, Tensor], notes: Mapping[str, str]) -> str:
    digest = hashlib.blake2b(json.dumps(dict(notes), sort_keys=True).encode(), digest_size=16)
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
