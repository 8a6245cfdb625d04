"""The energy that the processors and a GPU of this machine use, where they count it."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

_POWERCAP = Path("/sys/class/powercap")
_INTERVAL = 60.0
"""Seconds between readings: counters of processors start anew after some minutes."""


class EnergyMeter:
    """Counts from its creation on, in a thread of its own, until it is closed.

    Others who use the machine at the same time are counted, too.

    Attributes:
        source: what counts: RAPL (the processors; often root alone may read it), NVML (the GPU of
            this process), both, or nothing.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._counters = [*_rapl_counters(folder or _POWERCAP), *_nvml_counters()]
        self.source = " and ".join(dict.fromkeys(counter.source for counter in self._counters))
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True, name="energy")
        if self._counters:
            self._thread.start()

    def close(self) -> float:
        """Stop counting; the watt-hours, NaN if nothing counts."""
        self._ended.set()
        if not self._counters:
            return math.nan
        self._thread.join()
        return sum(counter.update() for counter in self._counters) / 3600

    def _watch(self) -> None:
        while not self._ended.wait(_INTERVAL):
            for counter in self._counters:
                counter.update()


class Counter:
    """A counter of joules that starts anew at a limit.

    Args:
        read: the counter's value, in joules; NaN if it cannot be read any more.
        limit: of the counter, in joules.
    """

    def __init__(self, source: str, read: Callable[[], float], limit: float = math.inf) -> None:
        self.source, self._read, self._limit = source, read, limit
        self._last, self._sum = read(), 0.0

    def update(self) -> float:
        """The joules so far."""
        now = self._read()
        self._sum += now - self._last + (self._limit if now < self._last else 0.0)
        self._last = now
        return self._sum


def _rapl_counters(folder: Path) -> list[Counter]:
    """One for each package of processors that may be read."""
    found = []
    for zone in sorted(folder.glob("*-rapl:*")):
        if zone.name.count(":") > 1:  # a part of a package
            continue
        try:
            limit = int((zone / "max_energy_range_uj").read_text()) / 1e6
            int((zone / "energy_uj").read_text())
        except (OSError, ValueError):
            continue
        found.append(Counter("RAPL", partial(_joules, zone / "energy_uj"), limit))
    return found


def _joules(file: Path) -> float:
    try:
        return int(file.read_text()) / 1e6
    except (OSError, ValueError):
        return math.nan


def _nvml_counters() -> list[Counter]:
    """That of the GPU that this process uses, if pynvml is installed."""
    import torch

    if not torch.cuda.is_initialized():
        return []
    try:
        import pynvml
    except ModuleNotFoundError:
        return []
    try:
        pynvml.nvmlInit()
        uuid = torch.cuda.get_device_properties(torch.cuda.current_device()).uuid
        handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}")
        pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except pynvml.NVMLError:  # such as an older GPU, which does not count
        return []
    read = pynvml.nvmlDeviceGetTotalEnergyConsumption
    return [Counter("NVML", lambda: float(read(handle)) / 1000)]
