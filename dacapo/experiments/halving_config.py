"""Whether runs of a sweep are stopped early."""

from __future__ import annotations

from dataclasses import dataclass, field

from dacapo.config import config
from dacapo.errors import InputError


@config("halving")
@dataclass(kw_only=True)
class HalvingConfig:
    """Stop runs whose validation score is not among the best at certain iterations.

    A run is compared with all runs below `runs_dir` that are scored by the same criterion on the
    same volumes.
    """

    factor: int = 3
    """At each rung the best 1/factor of the runs go on; the next rung is factor times as far."""
    min_iterations: int | None = None
    """The first rung; never within the learning rate's warm-up (default: num_iterations divided by
    factor squared)."""
    never_stop: list[str] = field(default_factory=list)
    """Runs that are never stopped: names, or overrides, as in
    'halving.never_stop=["trainer.learning_rate=1e-3"]'."""

    def __post_init__(self) -> None:
        if self.factor < 2:
            raise InputError(f"halving.factor={self.factor} must be at least 2")
        if self.min_iterations is not None and self.min_iterations < 1:
            raise InputError(f"halving.min_iterations={self.min_iterations} must be positive")
