from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest
import torch

from dacapo.errors import InputError
from dacapo.processes.prefetch import Prefetch, prefetch


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
    batches.close()
    assert threading.active_count() == before


def test_the_caller_keeps_its_threads() -> None:
    torch.set_num_threads(2)
    list(prefetch(lambda i: torch.get_num_threads(), 0, 3, 1))
    assert torch.get_num_threads() == 2


def test_nothing_is_prepared_while_settled_items_are_taken() -> None:
    begun: list[int] = []

    def prepare(i: int) -> int:
        begun.append(i)
        return i

    items = prefetch(prepare, 0, 20, 3)
    assert next(items) == 0
    num = items.settle()
    assert num == 4
    assert sorted(begun) == [0, 1, 2, 3, 4]
    assert [next(items) for _ in range(num)] == [1, 2, 3, 4]
    assert len(begun) == 5
    assert list(items) == list(range(5, 20))
    assert items.settle() == 0


def test_a_function_that_stops_the_iteration_is_an_error() -> None:
    items = prefetch(lambda i: next(iter([])) if i == 2 else i, 0, 5, 1)
    assert [next(items), next(items)] == [0, 1]
    with pytest.raises(RuntimeError, match="raised StopIteration"):
        next(items)


def taken(prepare: Callable[[int], int], seconds: float) -> Prefetch[int]:
    """What is left when a caller that takes a millisecond has asked for some seconds."""
    items = prefetch(prepare, 0, 10**6, 1, max_workers=4)
    begin, count = time.monotonic(), 0
    while time.monotonic() - begin < seconds:
        assert next(items) == count
        count += 1
        time.sleep(0.001)
    return items


def test_threads_are_added_while_that_helps() -> None:
    def slow(i: int) -> int:
        time.sleep(0.008)
        return i

    items = taken(slow, 4)
    assert items.num_workers > 1
    items.close()


def test_a_pause_is_no_reason_to_take_a_thread_away() -> None:
    items = taken(lambda i: time.sleep(0.008) or i, 3)  # type: ignore[func-returns-value]
    before = items.num_workers
    assert before > 1
    items.pause()
    time.sleep(1)
    for _ in range(120):
        next(items)
        time.sleep(0.001)
    assert items.num_workers >= before
    items.close()


def test_threads_that_do_not_help_are_taken_away() -> None:
    lock = threading.Lock()

    def one_at_a_time(i: int) -> int:
        with lock:
            time.sleep(0.005)
        return i

    items = taken(one_at_a_time, 3)
    assert items.num_workers <= 2
    items.close()
