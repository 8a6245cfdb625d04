"""The disk that the runs of a sweep need, known before the first one starts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

from dacapo.config import encode
from dacapo.errors import InputError
from dacapo.experiments.run_config import RunConfig
from dacapo.processes.files import format_bytes

_FLOAT = 4
_SCORE = 8
_STEP = 24 + 80
"""Bytes of a step in the log and as text in training.csv."""
_OTHER = 2 * 2**20
"""Config, pictures and a traceback."""


def check_disk(runs: Sequence[tuple[RunConfig, int]], runs_dir: Path) -> str:
    """How much more disk runs need at most, and how much there is, in one line.

    Args:
        runs: configs, and the number of validation volumes of each.

    Raises:
        InputError: a network cannot be built, or the disk is too small.
    """
    built: dict[str, _Size] = {}
    needed = 0
    for run_config, num_volumes in runs:
        key = json.dumps([encode(run_config.task_config), encode(run_config.architecture_config)])
        if key not in built:
            built[key] = _build(run_config)
        folder = runs_dir / run_config.name / str(run_config.repetition)
        there = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
        needed += max(0, _bytes(run_config, built[key], num_volumes) - there)
    free = shutil.disk_usage(_existing(runs_dir)).free
    text = (
        f"the runs take up to {format_bytes(needed)} of disk, and {format_bytes(free)} are free in "
        f"{runs_dir}"
    )
    if needed > free:
        raise InputError(
            f"no job was started: {text}: free some (python -m dacapo.remove), keep fewer "
            f"checkpoints (trainer.keep_latest, keep_best, keep_every) or snapshots, or add "
            f"hydra.launcher.check_data=false"
        )
    return text


@dataclass(frozen=True)
class _Size:
    """What decides how large the files of a run are.

    Attributes:
        weights: number of weights.
        snapshot: number of voxels in a snapshot.
        scores: number of scores of a validation of one volume.
    """

    weights: int
    snapshot: int
    scores: int


def _build(run_config: RunConfig) -> _Size:
    task = run_config.task_config.build()
    architecture = run_config.architecture_config.build()
    model = task.predictor.create_model(architecture)
    raw = architecture.num_in_channels * prod(architecture.input_shape)
    channels, shape = model.compute_output_shape(architecture.input_shape)
    settings = len(list(task.post_processor.enumerate_parameters()))
    return _Size(
        sum(parameter.numel() for parameter in model.parameters()),
        raw + 3 * channels * prod(shape),  # target, weight and prediction
        settings * len(task.evaluator.evaluation_scores.criteria),
    )


def _bytes(run_config: RunConfig, size: _Size, num_volumes: int) -> int:
    trainer, steps = run_config.trainer_config, run_config.num_iterations
    validations = 1 + steps // run_config.validation_interval
    scores = validations * num_volumes * size.scores * _SCORE
    copies = 3 + (trainer.ema_decay is not None)  # weights, and two moments of the optimizer
    checkpoint = copies * size.weights * _FLOAT + steps * 24 + scores
    # One more is written before the oldest is deleted.
    num_checkpoints = trainer.keep_latest + 2 + len(trainer.keep_best)
    num_checkpoints += steps // trainer.keep_every if trainer.keep_every else 0
    snapshots = steps // trainer.snapshot_interval if trainer.snapshot_interval else 0
    return (
        num_checkpoints * checkpoint
        + snapshots * size.snapshot * _FLOAT
        + steps * _STEP
        + 3 * scores  # the csv is text
        + _OTHER
    )


def _existing(path: Path) -> Path:
    """The folder, or the first one above that exists."""
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return path
