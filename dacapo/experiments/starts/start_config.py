"""What every start's config has."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dacapo.experiments.starts.start import Start


@dataclass(kw_only=True)
class StartConfig(ABC):
    """The weights to begin with."""

    freeze: list[str] = field(default_factory=list)
    """Weights that stay as they are, by patterns of their names: ["architecture.unet.down.*"]."""

    @abstractmethod
    def build(self) -> Start: ...
