"""Startup warnings: what users should know about a run before it trains."""

from __future__ import annotations

import time

import torch
from torch import nn

from dacapo.experiments.run import Run

_WORTH_IT = 1.3
_NUM_ROUNDS = 3
_BLACK_IS_0 = {"gamma", "poisson", "salt_and_pepper", "missing_sections", "dark_sections"}


def startup_warnings(run: Run) -> list[str]:
    """Warnings about precision, augmentations, and dependence on the block size."""
    return [line for line in (precision_hint(run), zero_warning(run)) if line]


def zero_warning(run: Run) -> str:
    """Warn of augmentations that assume that 0 is black, if raw has a mean of 0."""
    normalize = getattr(run.config.datasplit_config, "normalize", None)
    named = set(getattr(run.config.trainer_config, "augments", {})) & _BLACK_IS_0
    if getattr(normalize, "name", normalize) != "zscore" or not named:
        return ""
    return (
        f"trainer/augments={', '.join(sorted(named))} assume that 0 is black, but with "
        f"datasplit.normalize=zscore 0 is the mean: use percentile, or leave them out"
    )


def precision_hint(run: Run) -> str:
    """A hint if this CPU is clearly faster in the other precision, measured by one convolution.

    Only if several rounds agree, because single rounds vary by a factor of seven on a busy machine.
    """
    trainer = run.trainer
    low = trainer.precision != torch.float32
    if trainer.device.type != "cpu" or not (low or has_bf16()):
        return ""
    ratios = bf16_speed_ratios()
    if low and max(ratios) < 1 / _WORTH_IT:
        return "this CPU is slower in bf16 than in fp32: trainer.precision=fp32 is faster here"
    if not low and min(ratios) > _WORTH_IT:
        return "this CPU is faster in bf16 than in fp32: consider trainer.precision=bf16"
    return ""


def has_bf16() -> bool:
    """Whether the CPU has bf16 instructions; without them, measuring is pointless."""
    try:
        with open("/proc/cpuinfo") as file:
            return "bf16" in file.read()
    except OSError:
        return False


def bf16_speed_ratios() -> list[float]:
    """The speedup of a 3D convolution in bf16, channels last, over fp32, in several rounds.

    Each round compares the fastest of several calls, which other processes disturb least.
    """
    convolution = nn.Conv3d(16, 16, 3)
    raw = torch.rand(1, 16, 28, 28, 28)
    last = raw.to(memory_format=torch.channels_last_3d)

    def fastest(given: torch.Tensor, low: bool) -> float:
        times = []
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=low):
            for _ in range(4):
                begin = time.perf_counter()
                convolution(given)
                times.append(time.perf_counter() - begin)
        return min(times)

    return [fastest(raw, False) / fastest(last, True) for _ in range(_NUM_ROUNDS)]
