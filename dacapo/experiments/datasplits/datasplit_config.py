"""What every datasplit's config has."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dacapo.config import Config

if TYPE_CHECKING:
    from dacapo.experiments.datasplits.datasplit import DataSplit


@dataclass(kw_only=True)
class DataSplitConfig(Config, ABC):
    """The data to train and to validate on."""

    @abstractmethod
    def build(self) -> DataSplit: ...
