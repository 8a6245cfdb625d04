"""What every task's config has."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dacapo.experiments.tasks.task import Task


@dataclass(kw_only=True)
class TaskConfig(ABC):
    """What to predict, how to make a segmentation of it, and how to score that."""

    criterion: str
    """The score that selects the best iteration and the best parameters."""

    @abstractmethod
    def build(self) -> Task: ...
