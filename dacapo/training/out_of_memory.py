"""What fits when a GPU's memory does not suffice."""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable
from typing import TypeVar

import torch
from funlib.geometry import Coordinate

from dacapo.errors import InputError
from dacapo.experiments.run import Run
from dacapo.processes.files import format_bytes

T = TypeVar("T")

_USABLE = 0.9
"""Share of the memory that arithmetic may plan with: allocators need some room."""


def explained(run: Run, iteration: int, work: Callable[[], T]) -> T:
    """What `work` returns; if the memory of a GPU does not suffice, an error says what would fit.

    Raises:
        InputError: instead of torch's error.
    """
    try:
        return work()
    except torch.OutOfMemoryError as error:
        # Its traceback holds the tensors of the step, which are in the way of what follows.
        traceback.clear_frames(error.__traceback__)
    raise InputError(_message(run, iteration))


def _message(run: Run, iteration: int) -> str:
    device, config = run.trainer.device, run.trainer.config
    run.train_state.optimizer.zero_grad()
    torch.cuda.empty_cache()
    free, total = torch.cuda.mem_get_info(device)
    others = total - free - torch.cuda.memory_reserved(device)
    num = getattr(config, "batch_size", 1)
    text = (
        f"CUDA out of memory in iteration {iteration}: trainer.batch_size={num} in "
        f"{config.micro_batches} micro-batches, architecture.input_shape="
        f"{list(run.model.input_shape)}, trainer.precision={config.precision.name} on "
        f"{torch.cuda.get_device_name(device)} with {format_bytes(total)}, of which other programs "
        f"use {format_bytes(max(0, others))}."
    )
    try:
        found = what_fits(run, num, free + torch.cuda.memory_reserved(device))
    except torch.OutOfMemoryError:
        found = ""
    low = "" if config.precision.name != "fp32" else " trainer.precision=bf16 needs about half."
    return f"{text} {found or 'Not even a small patch fits: use a smaller network.'}{low}"


def what_fits(run: Run, batch_size: int, memory: int) -> str:
    """The options to change, by arithmetic from the peak of a small patch; empty if none help."""
    model, micro = run.model, run.trainer.config.micro_batches
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    copies = 4 if run.trainer.config.ema_decay is None else 5  # and gradients, Adam's moments
    small = largest_input(run, [n // 2 for n in model.input_shape])
    if small is None:
        return ""
    per_voxel = max(1.0, (run.train_state.peak_of(small) - weights) / math.prod(small))
    voxels = (_USABLE * memory - copies * weights) / per_voxel
    crop = math.prod(model.input_shape)
    for more in range(micro + 1, batch_size + 1):
        if batch_size % more == 0 and batch_size / more * crop <= voxels:
            return f"By the peak of a smaller patch, trainer.micro_batches={more} fits."
    shrink = (max(voxels, 0) / crop) ** (1 / model.input_shape.dims)
    fits = largest_input(run, [int(n * min(shrink, 1)) for n in model.input_shape])
    if fits is None:
        return ""
    alone = "" if micro == batch_size else f" with trainer.micro_batches={batch_size}"
    return f"By the peak of a smaller patch, architecture.input_shape={list(fits)} fits{alone}."


def largest_input(run: Run, limit: list[int]) -> Coordinate | None:
    """The largest input of the network that is nowhere longer than a limit."""
    found = list(run.model.input_shape)
    for axis, most in enumerate(limit):
        for length in range(most, 0, -1):
            tried = [*found[:axis], length, *run.model.input_shape[axis + 1 :]]
            if _is_possible(run, tried):
                found[axis] = length
                break
        else:
            return None
    return Coordinate(found)


def _is_possible(run: Run, shape: list[int]) -> bool:
    try:
        return bool(min(run.model.compute_output_shape(Coordinate(shape))[1]) > 0)
    except (InputError, RuntimeError):  # torch's, of networks that do not check their input
        return False
