from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from dacapo.processes.memory import peak_device_memory_mib, peak_memory_mib, reset_peak_memory


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux")
def test_the_peak_is_that_since_the_reset() -> None:
    reset_peak_memory()
    before = peak_memory_mib()
    held = np.ones(64 * 2**20, np.uint8)
    grown = peak_memory_mib() - before
    assert 32 < grown < 512
    assert held.nbytes == 64 * 2**20
    del held
    assert peak_memory_mib() - before > 32  # it is a peak


def test_without_a_gpu_in_use_it_is_unknown_and_asking_begins_none() -> None:
    if not torch.cuda.is_initialized():
        assert math.isnan(peak_device_memory_mib())
    assert torch.cuda.is_initialized() == (not math.isnan(peak_device_memory_mib()))


def test_torch_is_not_imported_to_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch")
    assert math.isnan(peak_device_memory_mib())
    assert "torch" not in sys.modules
