"""How much memory a stretch of work needed at most."""

from __future__ import annotations

import math
import re
from pathlib import Path

_PROCESS = Path("/proc/self")


def reset_peak_memory() -> None:
    """Begin a new stretch: several runs may follow each other in one process."""
    try:
        (_PROCESS / "clear_refs").write_text("5")
    except OSError:
        return  # no Linux, or not allowed: the peak is then that of the whole process


def peak_memory_mib() -> float:
    """The largest resident memory since the reset, in MiB; NaN where the system does not tell."""
    try:
        status = (_PROCESS / "status").read_text()
    except OSError:
        return math.nan
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) / 1024 if found else math.nan
