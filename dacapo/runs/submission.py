"""What a launcher notes of a run that it gave away."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field

from dacapo.runs.owner import Owner


@dataclass(frozen=True)
class Submission:
    """A run that something else is to start.

    Attributes:
        writers: how many processes had worked on the run before; one more has begun with it.
        job: id of the scheduler's job; empty where the launcher itself will start it.
        log: the file that the job writes to; empty where there is none yet.
        launcher: the process that gave it away.
        lost: why the job ended without the run's knowing; empty while nothing is known of that.
    """

    writers: int
    job: str = ""
    log: str = ""
    launcher: Owner = field(default_factory=Owner.current)
    lost: str = ""

    def encode(self) -> bytes:
        """As JSON."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def decode(cls, text: str) -> Submission:
        """The inverse of `encode`."""
        plain = json.loads(text)
        return cls(**{**plain, "launcher": Owner(**plain["launcher"])})

    def __str__(self) -> str:
        return f"job {self.job}" if self.job else f"the launcher, {self.launcher}"
