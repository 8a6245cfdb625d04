"""Options for stopping runs of a sweep early."""

from __future__ import annotations

from dataclasses import dataclass, field

from dacapo.config import Config, config, ranged


@config("halving")
@dataclass(kw_only=True)
class HalvingConfig(Config):
    """Stop runs whose validation score is not among the best at certain iterations (rungs).

    A run is compared with all runs below `runs_dir` that are scored by the same criterion on the
    same volumes.
    """

    factor: int = ranged(3, low=2)
    """At each rung, the best 1/factor of the runs continue; each rung is factor times the last."""
    min_iterations: int | None = ranged(None, low=1)
    """The first rung; never within the learning rate's warm-up (default: num_iterations divided by
    factor squared)."""
    never_stop: list[str] = field(default_factory=list)
    """Runs that are never stopped: names, or overrides, as in
    'halving.never_stop=["trainer.learning_rate=1e-3"]'."""
