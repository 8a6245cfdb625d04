from __future__ import annotations

import os
import signal
import threading

import pytest

from dacapo.training.signals import Signals


def test_the_first_signal_is_noted_and_the_second_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    with Signals() as interrupts:
        assert interrupts.received is None
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupts.received == signal.SIGINT
        os.kill(os.getpid(), signal.SIGINT)  # at once: the same one, sent to the group too
        monkeypatch.setattr("dacapo.training.signals._ONE_SIGNAL", 0.0)
        with pytest.raises(SystemExit) as ended:
            os.kill(os.getpid(), signal.SIGINT)
        assert ended.value.code == 128 + signal.SIGINT


def test_handlers_are_put_back() -> None:
    before = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)]
    with pytest.raises(RuntimeError), Signals():
        raise RuntimeError
    after = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)]
    assert before == after


def test_another_thread_than_the_main_one_leaves_signals_alone() -> None:
    before = signal.getsignal(signal.SIGTERM)
    seen = []

    def inside() -> None:
        with Signals():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert seen == [before]
