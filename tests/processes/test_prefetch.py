from __future__ import annotations

import threading
import time

import pytest
import torch

from dacapo.errors import InputError
from dacapo.processes.prefetch import prefetch


@pytest.mark.parametrize("workers", [0, 1, 4])
def test_in_order(workers: int) -> None:
    def prepare(i: int) -> int:
        time.sleep(0.01 * ((i * 7) % 3))
        return i

    assert list(prefetch(prepare, 3, 20, workers)) == list(range(3, 20))


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_reaches_the_caller(workers: int) -> None:
    def prepare(i: int) -> int:
        if i == 2:
            raise InputError("bad crop")
        return i

    batches = prefetch(prepare, 0, 5, workers)
    assert [next(batches), next(batches)] == [0, 1]
    with pytest.raises(InputError, match="bad crop"):
        next(batches)


def test_no_thread_is_left() -> None:
    before = threading.active_count()
    batches = prefetch(lambda i: i, 0, 100, 3)
    next(batches)
    batches.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_the_caller_keeps_its_threads() -> None:
    torch.set_num_threads(2)
    list(prefetch(lambda i: torch.get_num_threads(), 0, 3, 1))
    assert torch.get_num_threads() == 2
