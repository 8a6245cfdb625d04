"""What every architecture's config has."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dacapo.experiments.architectures.architecture import Architecture


@dataclass(kw_only=True)
class ArchitectureConfig(ABC):
    """The backbone of the model."""

    @abstractmethod
    def build(self) -> Architecture:
        """The network with fresh weights, drawn from torch's global generator."""
