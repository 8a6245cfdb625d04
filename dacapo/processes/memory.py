"""Peak memory of a stretch of work, on the host and on the GPU."""

from __future__ import annotations

import math
import re
import sys
from contextlib import suppress
from pathlib import Path

_PROCESS = Path("/proc/self")


def reset_peak_memory() -> None:
    """Begin a new stretch: several runs may follow each other in one process."""
    with suppress(OSError):  # no Linux, or not allowed: the peak is that of the whole process
        (_PROCESS / "clear_refs").write_text("5")
    if _uses_cuda():
        import torch

        torch.cuda.reset_peak_memory_stats()


def peak_memory_mib() -> float:
    """The largest resident memory since the reset, in MiB; NaN where the system does not tell."""
    try:
        status = (_PROCESS / "status").read_text()
    except OSError:
        return math.nan
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) / 1024 if found else math.nan


def peak_device_memory_mib() -> float:
    """The most memory that tensors held on this process' GPU, in MiB; NaN without one."""
    if not _uses_cuda():
        return math.nan
    import torch

    return torch.cuda.max_memory_allocated() / 2**20


def _uses_cuda() -> bool:
    """Whether this process has begun to use a GPU; asking must not begin it."""
    torch = sys.modules.get("torch")
    return torch is not None and torch.cuda.is_initialized()
