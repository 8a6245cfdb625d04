"""Whether a run can be repeated: its first steps, and one validation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
import torch

from dacapo.config import decode
from dacapo.errors import InputError
from dacapo.experiments.run import Run
from dacapo.experiments.run_config import RunConfig
from dacapo.inference.scoring import validate
from dacapo.processes.code import code_state, describe
from dacapo.runs import RunFolder, read_state
from dacapo.runs.history import History

_TOLERANCE = 1e-2
"""Largest relative difference on a device that is not known to repeat itself to the bit."""


@dataclass(frozen=True)
class Finding:
    """One thing that was compared.

    Attributes:
        is_same: None if it could not be compared.
    """

    what: str
    is_same: bool | None
    text: str


def verify(folder: RunFolder, num_steps: int, device: str | None) -> Iterator[Finding]:
    """Compare code and data with those of a run, and repeat its first steps and a validation.

    On the CPU, equal means to the bit; elsewhere, within 1 %.

    Args:
        device: instead of that of the run.

    Raises:
        InputError: the run is being trained, or its data cannot be read.
    """
    history = folder.read_history()
    document = folder.read_document(history)
    if read_state(folder, history).name == "running":
        raise InputError(f"{folder.path} is being trained: verify it when it has ended")
    config = decode(document["config"])
    if not isinstance(config, RunConfig):
        raise InputError(f"{folder.path}: its config is not that of a run")
    if device is not None and hasattr(config.trainer_config, "device"):
        trainer_config = replace(config.trainer_config, device=device)  # type: ignore[call-arg]
        config = replace(config, trainer_config=trainer_config)
    machine = document.get("machine", {})
    if isinstance(threads := machine.get("threads"), int) and threads > 0:
        torch.set_num_threads(threads)  # sums depend on it
    run = Run(config)
    yield _code(document)
    yield _data(document, run)
    is_exact = run.trainer.device.type == "cpu" == str(machine.get("device", "cpu"))[:3]
    yield _steps(folder, history, run, num_steps, is_exact)
    yield _validation(folder, history, run, is_exact)


def _code(document: Mapping[str, Any]) -> Finding:
    then, now = document.get("code"), describe(code_state())
    if not isinstance(then, dict):
        return Finding("code", None, "the run has not noted it")
    if describe(then) == now:
        return Finding("code", True, now)
    return Finding("code", False, f"{describe(then)} then, {now} now")


def _data(document: Mapping[str, Any], run: Run) -> Finding:
    then = document.get("data", {}).get("digests")
    if then is None:
        return Finding("data", None, "the run has not noted them")
    changed = [
        f"{part}/{name}"
        for part, volumes in run.digests.items()
        for name, digest in volumes.items()
        if then.get(part, {}).get(name) != digest
    ]
    if changed:
        return Finding("data", False, f"other voxels than then: {', '.join(changed)}")
    return Finding("data", True, f"{sum(map(len, run.digests.values()))} volumes")


def _steps(
    folder: RunFolder, history: History, run: Run, num_steps: int, is_exact: bool
) -> Finding:
    count = min(num_steps, history.trained_until, run.validation_interval)
    if not count:
        return Finding("steps", None, "the run has made none")
    run.begin(folder.read_weights_of)
    then = history.steps[:count, 0]
    batches = run.batches(0)
    now = np.array([run.train_step(batch).loss for batch in islice(batches, count)])
    return _compared(f"losses of {count} steps", then, now, is_exact)


def _validation(folder: RunFolder, history: History, run: Run, is_exact: bool) -> Finding:
    scored = {s.iteration: s.scores for s in history.scores_like(run.score_header())}
    kept = [iteration for iteration in folder.checkpoints() if iteration in scored]
    if not kept:
        return Finding("scores", None, "no checkpoint that was validated is left")
    run.train_state.load_state(folder.read_checkpoint(kept[-1]))
    now = np.array(validate(run).scores)
    then = np.array(scored[kept[-1]])
    return _compared(f"scores of iteration {kept[-1]}", then, now, is_exact)


def _compared(
    what: str, then: np.ndarray[Any, Any], now: np.ndarray[Any, Any], is_exact: bool
) -> Finding:
    if np.array_equal(then, now, equal_nan=True):
        return Finding(what, True, "equal to the bit")
    one_is_nan = np.isnan(then) != np.isnan(now)
    scale = np.maximum(np.abs(then), np.abs(now))
    gap = np.abs(then - now) / np.where(scale > 0, scale, 1)
    largest = float(np.nanmax(gap)) if not np.isnan(gap).all() else 0.0
    text = f"differ by {largest:.2g} of their size at most"
    if one_is_nan.any():
        return Finding(what, False, f"{int(one_is_nan.sum())} of {then.size} are NaN now or then")
    return Finding(what, not is_exact and largest <= _TOLERANCE, text)
