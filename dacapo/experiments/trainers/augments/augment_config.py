"""What every augmentation's config has."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

from dacapo.errors import InputError

if TYPE_CHECKING:
    from dacapo.experiments.trainers.augments.augment import Augment


@dataclass(kw_only=True)
class AugmentConfig(ABC):
    """A random change of a sample that leaves its kind."""

    p: float = 1.0
    """Probability that a sample is changed."""

    def __post_init__(self) -> None:
        if not 0 <= self.p <= 1:
            raise InputError(f"{self._key}.p={self.p} must lie between 0 and 1")

    @property
    def _key(self) -> str:
        name = re.sub(r"(?<!^)(?=[A-Z])", "_", type(self).__name__.removesuffix("Config"))
        return f"trainer.augments.{name.lower()}"

    def _check_range(self, key: str, lowest: float, highest: float = inf) -> None:
        value = getattr(self, key)
        if len(value) != 2 or not lowest <= value[0] <= value[1] <= highest:
            to = "on" if highest == inf else f"to {highest}"
            raise InputError(f"{self._key}.{key}={value}: give [low, high], from {lowest} {to}")

    @abstractmethod
    def build(self) -> Augment: ...
