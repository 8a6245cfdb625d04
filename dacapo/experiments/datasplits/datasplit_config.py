"""Options that all data splits share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dacapo.config import Config

if TYPE_CHECKING:
    from dacapo.experiments.datasplits.datasplit import DataSplit


@dataclass(kw_only=True)
class DataSplitConfig(Config, ABC):
    """The data for training and validation."""

    @abstractmethod
    def build(self) -> DataSplit: ...
