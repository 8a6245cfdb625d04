"""The memory of this machine, and the peak of what a run uses, on the host and on the GPU."""

from __future__ import annotations

import math
import os
import re
import sys
from contextlib import suppress
from pathlib import Path

_PROCESS = Path("/proc/self")
_CGROUP = Path("/sys/fs/cgroup/memory.max")


def memory_size() -> int:
    """Memory that this process may use in all, in bytes; a container may have less than a host."""
    sizes = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    with suppress(OSError, ValueError):  # no such file, or it says "max"
        sizes.append(int(_CGROUP.read_text()))
    return min(sizes)


def reset_peak_memory() -> None:
    """Reset the peak, because several runs may be trained in one process."""
    with suppress(OSError):  # not Linux, or not permitted: the peak is that of the whole process
        (_PROCESS / "clear_refs").write_text("5")
    if _uses_cuda():
        import torch

        torch.cuda.reset_peak_memory_stats()


def peak_memory_mib() -> float:
    """The largest resident memory since the reset, in MiB; NaN if the system does not report it."""
    try:
        status = (_PROCESS / "status").read_text()
    except OSError:
        return math.nan
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) / 1024 if found else math.nan


def peak_device_memory_mib() -> float:
    """The largest memory allocated by tensors on this process's GPU, in MiB; NaN without a GPU."""
    if not _uses_cuda():
        return math.nan
    import torch

    return torch.cuda.max_memory_allocated() / 2**20


def _uses_cuda() -> bool:
    """Whether this process already uses a GPU; asking must not initialise one."""
    torch = sys.modules.get("torch")
    return torch is not None and torch.cuda.is_initialized()
