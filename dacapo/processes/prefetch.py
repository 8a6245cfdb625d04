"""Prefetching in threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

T = TypeVar("T")


def prefetch(prepare: Callable[[int], T], begin: int, end: int, num_workers: int) -> Iterator[T]:
    """Yield `prepare(i)` for i from begin to end, in order, computed up to `num_workers` ahead.

    Threads, not processes: reading and tensor operations release the interpreter's lock, nothing is
    copied, and no child outlives a killed parent. With 0 workers a thread prepares as well, while
    the caller waits, so that `prepare` rounds sums equally for any number of workers.
    """
    torch.get_num_threads()  # fixes the caller's number before a worker sets its own
    pool = ThreadPoolExecutor(max(1, num_workers), "prefetch", torch.set_num_threads, (1,))
    waiting: deque[Future[T]] = deque()
    upcoming = iter(range(begin, end))
    try:
        while True:
            while len(waiting) <= num_workers and (i := next(upcoming, None)) is not None:
                waiting.append(pool.submit(prepare, i))
            if not waiting:
                return
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
