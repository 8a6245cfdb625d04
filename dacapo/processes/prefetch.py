"""Prefetching in threads."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Generic, TypeVar

import torch

T = TypeVar("T")

_MAX_WAITING = 0.03
"""Fraction of the time spent waiting above which a thread is added."""
_MIN_GAIN = 1.02
"""By which factor another thread must raise the rate to be kept."""
_WINDOW = 50
"""Items over which a rate is measured."""


class Prefetch(Iterator[T], Generic[T]):
    """Yields `prepare(i)` for i from begin to end, in order, computed ahead.

    Threads, not processes: reading and tensor operations release the interpreter's lock, nothing is
    copied, and no child outlives a killed parent. With 0 workers a thread prepares as well, while
    the caller waits, so that `prepare` rounds sums equally for any number of workers.

    Args:
        num_workers: number of threads, each of which prepares one item; with one worker, one item
            more waits ready.
        max_workers: threads are added up to this number while the caller waits for items and is
            faster with them.
    """

    def __init__(
        self,
        prepare: Callable[[int], T],
        begin: int,
        end: int,
        num_workers: int,
        max_workers: int | None = None,
    ) -> None:
        torch.get_num_threads()  # fixes the caller's number before a worker sets its own
        self._max = max(num_workers, max_workers or 0)
        self.num_workers = num_workers
        self._pool = ThreadPoolExecutor(max(1, self._max), "prefetch", torch.set_num_threads, (1,))
        self._prepare, self._upcoming = prepare, iter(range(begin, end))
        self._waiting: deque[Future[T]] = deque()
        self._held = 0
        self._begin: float | None = None
        self._count, self._waited, self._rate = 0, 0.0, 0.0

    def __next__(self) -> T:
        try:
            if self._held:
                self._held -= 1
            else:
                self._fill()
            if not self._waiting:
                raise StopIteration
            begin = time.perf_counter()
            try:
                item = self._waiting.popleft().result()
            except StopIteration as error:  # would end the loop of the caller silently
                raise RuntimeError("a prefetched function raised StopIteration") from error
            self._waited += time.perf_counter() - begin
        except BaseException:
            self.close()
            raise
        self._tune()
        return item

    def settle(self) -> int:
        """Wait until no thread works; none begins before the next items, so many, are taken."""
        self._fill()
        wait(self._waiting)
        self._held = len(self._waiting)
        self.pause()
        return self._held

    def pause(self) -> None:
        """Measure anew, because the caller does something else for a while."""
        self._begin = None

    def close(self) -> None:
        """End all threads."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._waiting.clear()
        self._upcoming = iter(range(0))

    def __del__(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _fill(self) -> None:
        while len(self._waiting) <= self.num_workers:
            i = next(self._upcoming, None)
            if i is None:
                return
            self._waiting.append(self._pool.submit(self._prepare, i))

    def _tune(self) -> None:
        """Add a thread while that helps, and take the last one away if it did not."""
        if self.num_workers >= self._max or self._held:
            return
        if self._begin is None:
            self._begin, self._count, self._waited = time.perf_counter(), 0, 0.0
            return
        self._count += 1
        if self._count < _WINDOW:
            return
        passed = time.perf_counter() - self._begin
        rate, share = self._count / passed, self._waited / passed
        if self._rate and rate < _MIN_GAIN * self._rate:
            self.num_workers -= 1
            self._max = self.num_workers
        elif share > _MAX_WAITING:
            self._rate = rate
            self.num_workers += 1
        else:
            self._rate = 0.0  # the last thread has proved itself
        self.pause()


def prefetch(
    prepare: Callable[[int], T],
    begin: int,
    end: int,
    num_workers: int,
    max_workers: int | None = None,
) -> Prefetch[T]:
    """See `Prefetch`."""
    return Prefetch(prepare, begin, end, num_workers, max_workers)
