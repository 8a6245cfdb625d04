"""What a person should know of a run before it trains."""

from __future__ import annotations

import time
from statistics import median

import numpy as np
import torch
from torch import nn

from dacapo.experiments.run import Run
from dacapo.inference.blocks import predict_block

_WORTH_IT = 1.3
_BLACK_IS_0 = {"gamma", "poisson", "salt_and_pepper", "missing_sections", "dark_sections"}


def remarks(run: Run) -> list[str]:
    """Lines about precision and about what depends on the size of blocks."""
    return [line for line in (_precision(run), _seam(run), _centred_augments(run)) if line]


def _centred_augments(run: Run) -> str:
    """Augmentations that take 0 for black, where raw has a mean of 0."""
    normalize = getattr(run.config.datasplit_config, "normalize", None)
    named = set(getattr(run.config.trainer_config, "augments", {})) & _BLACK_IS_0
    if getattr(normalize, "name", normalize) != "zscore" or not named:
        return ""
    return (
        f"trainer/augments={', '.join(sorted(named))} take 0 for black, but with "
        f"datasplit.normalize=zscore it is the mean: use percentile, or leave them out"
    )


def _precision(run: Run) -> str:
    """Whether this CPU computes faster in another precision, measured on one convolution."""
    trainer = run.trainer
    low = trainer.precision != torch.float32
    if trainer.device.type != "cpu" or not (low or _has_bf16()):
        return ""
    ratio = bf16_speed()
    if low and ratio < 1 / _WORTH_IT:
        return (
            f"this CPU computes a convolution in bf16 {1 / ratio:.1f} times slower than in fp32: "
            f"trainer.precision=fp32 is faster here"
        )
    if not low and ratio > _WORTH_IT:
        return (
            f"this CPU computes a convolution in bf16 {ratio:.1f} times faster: "
            f"trainer.precision=bf16 would use that"
        )
    return ""


def _has_bf16() -> bool:
    """Whether the CPU has instructions for it; without, nobody need measure."""
    try:
        with open("/proc/cpuinfo") as file:
            return "bf16" in file.read()
    except OSError:
        return False


def bf16_speed() -> float:
    """How many times faster than fp32 a 3D convolution in bf16, channels last, is on the CPU."""
    convolution = nn.Conv3d(16, 16, 3)
    raw = torch.rand(1, 16, 28, 28, 28)
    last = raw.to(memory_format=torch.channels_last_3d)
    taken: dict[bool, list[float]] = {False: [], True: []}
    with torch.no_grad():
        for _ in range(4):
            for low, given in ((False, raw), (True, last)):
                begin = time.perf_counter()
                with torch.autocast("cpu", torch.bfloat16, enabled=low):
                    convolution(given)
                taken[low].append(time.perf_counter() - begin)
    return median(taken[False][1:]) / median(taken[True][1:])


def _seam(run: Run) -> str:
    """How much a prediction depends on the block it is computed in, for networks that do so."""
    if not run.architecture.window_dependent:
        return ""
    dataset = run.datasplit.validate[0]
    small, large = (
        predict_block(run, dataset, shape)
        for shape in (run.model.input_shape, run.model.eval_input_shape)
    )
    if small.shape == large.shape:
        return (
            "this network's prediction depends on the size of the block it is computed in; "
            "prediction always uses blocks of the size of training"
        )
    cut = tuple(
        slice((n - s) // 2, (n - s) // 2 + s)
        for n, s in zip(large.shape[1:], small.shape[1:], strict=True)
    )
    difference = np.abs(large[:, *cut] - small)
    return (
        f"this network's prediction depends on the size of the block it is computed in: with fresh "
        f"weights it differs by {difference.mean():.2g} in the mean and {difference.max():.2g} at "
        f"most between blocks of {list(run.model.input_shape)} and "
        f"{list(run.model.eval_input_shape)}; prediction always uses the latter"
    )
