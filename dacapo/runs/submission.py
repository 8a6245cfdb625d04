"""What a launcher notes about a run that it has submitted, and its sign of life."""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from dacapo.errors import InputError
from dacapo.processes.files import parse, parse_json
from dacapo.runs.lease import BEAT, LEASE
from dacapo.runs.owner import Owner

_BEAT_FILE = ".launcher-"
_FORGOTTEN = 7 * 24 * 3600.0
"""Seconds after which the sign of life of a launcher that was killed is deleted."""


@dataclass(frozen=True)
class Submission:
    """A run that a launcher or scheduler will start.

    Attributes:
        writers: number of processes that had worked on the run at submission; one more means that
            the job has started it.
        job: job id of the scheduler; empty if the launcher itself starts the run.
        log: the log file of the job; empty if there is none yet.
        launcher: the process that submitted it.
        beat: the end of the name of the file by which the launcher shows that it is alive; empty
            without one.
        lost: why the job ended without the run noting it; empty if that is not known.
    """

    writers: int
    job: str = ""
    log: str = ""
    launcher: Owner = field(default_factory=Owner.current)
    beat: str = ""
    lost: str = ""

    def encode(self) -> bytes:
        """As JSON."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def decode(cls, payload: bytes) -> Submission:
        """The inverse of `encode`.

        Raises:
            ValueError: the payload is not a submission.
        """
        plain = parse_json(payload)
        return parse(cls, {**plain, "launcher": parse(Owner, plain.get("launcher"))})

    def is_launcher_alive(self, runs_dir: Path) -> bool:
        """Whether the launcher that is to start the run is alive, as far as it is known here.

        One on another machine is judged by the age of its sign of life. That may be off by the
        difference of two clocks; a claim decides more carefully, see `lease`.
        """
        alive = self.launcher.is_alive()
        if alive is not None:
            return alive
        if not self.beat.isalnum():
            return False
        try:
            written = (runs_dir / f"{_BEAT_FILE}{self.beat}").stat().st_mtime
        except OSError:
            return False
        return abs(time.time() - written) < LEASE

    def __str__(self) -> str:
        return f"job {self.job}" if self.job else f"the launcher, {self.launcher}"


@contextmanager
def launcher_beat(runs_dir: Path) -> Iterator[str]:
    """Show that this launcher is alive, by a file that is written every `BEAT` seconds.

    Yields:
        What tells the file from those of other launchers.

    Raises:
        InputError: the disk is full or not writable.
    """
    token = secrets.token_hex(8)
    path = runs_dir / f"{_BEAT_FILE}{token}"
    stop = threading.Event()

    def beat() -> None:
        while not stop.wait(BEAT):
            try:
                path.write_bytes(b".")
            except OSError:  # the disk may recover
                continue

    thread = threading.Thread(target=beat, name="launcher's heartbeat", daemon=True)
    try:
        runs_dir.mkdir(parents=True, exist_ok=True)
        _forget_old(runs_dir)
        path.write_bytes(b".")
    except OSError as error:
        raise InputError(f"runs_dir: cannot write {path}: {error.strerror}") from error
    thread.start()
    try:
        yield token
    finally:
        stop.set()
        thread.join()
        with suppress(OSError):  # which must not hide the error that ended the launcher
            path.unlink()


def _forget_old(runs_dir: Path) -> None:
    for path in runs_dir.glob(f"{_BEAT_FILE}*"):
        try:
            if time.time() - path.stat().st_mtime > _FORGOTTEN:
                path.unlink()
        except OSError:  # another user's, or just deleted by another launcher
            continue
