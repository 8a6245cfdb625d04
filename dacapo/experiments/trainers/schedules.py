"""Learning rates: pure functions of the iteration and of the scores so far."""

from __future__ import annotations

import math
from dataclasses import dataclass

from dacapo.experiments.criterion_history import CriterionHistory


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """A warm-up and a fall.

    Attributes:
        name: `cosine` (Loshchilov and Hutter 2017), `polynomial` (Chen et al. 2017), `plateau` or
            `constant`.
        rate: at the end of the warm-up.
        final: share of it left at the end.
        warmup, length: iterations, the warm-up included.
        factor, patience: of `plateau`.
    """

    name: str
    rate: float
    final: float
    warmup: int
    length: int
    factor: float = 0.3
    patience: int = 3

    def learning_rate(self, iteration: int, history: CriterionHistory) -> float:
        """Of a step, by its index and by the validations of weights trained until then."""
        if iteration < self.warmup:
            return self.rate * (iteration + 1) / (self.warmup + 1)
        return self.rate * self._share(iteration, history)

    def _share(self, iteration: int, history: CriterionHistory) -> float:
        if self.name == "constant":
            return 1.0
        if self.name == "plateau":
            return max(self.final, self.factor ** self._falls(history))
        through = min(1.0, (iteration - self.warmup) / max(1, self.length - 1 - self.warmup))
        shape = (
            0.5 * (1 + math.cos(math.pi * through))
            if self.name == "cosine"
            else (1 - through) ** 0.9
        )
        return self.final + (1 - self.final) * shape

    def _falls(self, history: CriterionHistory) -> int:
        """How often there was no improvement for longer than `patience`; each counts anew."""
        falls = waited = 0
        for is_better in history.improvements():
            waited = 0 if is_better else waited + 1
            if waited > self.patience:
                falls, waited = falls + 1, 0
        return falls
