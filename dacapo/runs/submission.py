"""What a launcher notes about a run that it has submitted."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field

from dacapo.runs.owner import Owner


@dataclass(frozen=True)
class Submission:
    """A run that a launcher or scheduler will start.

    Attributes:
        writers: number of processes that had worked on the run at submission; one more means that
            the job has started it.
        job: job id of the scheduler; empty if the launcher itself starts the run.
        log: the log file of the job; empty if there is none yet.
        launcher: the process that submitted it.
        lost: why the job ended without the run noting it; empty if that is not known.
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
