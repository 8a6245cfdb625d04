"""Options that all data splits share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dacapo.config import Config
from dacapo.errors import InputError

if TYPE_CHECKING:
    from dacapo.experiments.datasplits.datasets import Dataset
    from dacapo.experiments.datasplits.datasplit import DataSplit
    from dacapo.experiments.datasplits.volume_config import VolumeConfig


@dataclass(kw_only=True)
class DataSplitConfig(Config, ABC):
    """The data for training and validation."""

    @abstractmethod
    def build(self) -> DataSplit: ...

    def build_part(self, part: str, volumes: Mapping[str, VolumeConfig]) -> list[Dataset]:
        """The volumes of one part only: those of the others need not be there.

        Args:
            part: validate or test.
            volumes: instead of those that the data split names; empty: those.
        """
        if volumes:
            raise InputError(
                f"datasplit.{part}: {type(self).__name__} does not read volumes that are named "
                f"later"
            )
        return list(getattr(self.build(), part))
