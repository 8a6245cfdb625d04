"""Handling of signals that ask a run to save and stop."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

_ONE_SIGNAL = 1.0
"""Seconds within which a second signal counts as a repetition of the first: terminals, `timeout`
and schedulers often signal both a process and its group."""

_SAME_SIGNAL = 10.0
"""Seconds within which a signal reaches all processes of a run."""

Handler = Callable[[int, "FrameType | None"], Any]


class Signals:
    """While active, SIGTERM and SIGINT are only noted; a second one ends the process.

    An existing handler of SIGUSR2 is submitit's: it saves its job and requeues it, and handles
    SIGTERM itself. Then SIGUSR2 is noted instead, and `call_previous_handler` calls that handler
    once the work is saved.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._frame: FrameType | None = None
        self._noted = 0.0
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        if threading.current_thread() is not threading.main_thread():
            return self  # only the main thread receives signals
        submitit = callable(signal.getsignal(signal.SIGUSR2))
        for number in (signal.SIGUSR2 if submitit else signal.SIGTERM, signal.SIGINT):
            self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    @property
    def outcome(self) -> str:
        """How the signal ends the run: one of `dacapo.runs.state.ENDS`."""
        return "preempted" if self.received == signal.SIGUSR2 else "interrupted"

    def wait(self) -> None:
        """Wait for a signal that another process of the run has already received."""
        deadline = time.monotonic() + _SAME_SIGNAL
        while self.received is None and time.monotonic() < deadline:
            time.sleep(0.05)

    def call_previous_handler(self) -> None:
        """Call the previous handler; this ends the process with status 128 + the signal."""
        if self.received is None:  # only another process received the signal
            raise SystemExit(1)
        previous = self._previous[self.received]
        if self.received == signal.SIGUSR2:
            previous(self.received, self._frame)
        raise SystemExit(128 + self.received)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.received is None:
            self.received, self._frame, self._noted = number, frame, time.monotonic()
        elif time.monotonic() - self._noted > _ONE_SIGNAL:
            raise SystemExit(128 + number)


def _reset_handlers() -> None:
    """Reset handlers in a forked process, such as a worker of a data loader.

    With submitit's handlers, it would requeue the job and survive a SIGTERM.
    """
    if callable(signal.getsignal(signal.SIGUSR2)):
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGCONT, signal.SIG_DFL)


os.register_at_fork(after_in_child=_reset_handlers)
