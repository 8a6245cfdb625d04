"""The data for training, validation and test."""

from typing import TYPE_CHECKING

from dacapo.experiments.datasplits.csv_table import CsvDataSplitConfig
from dacapo.experiments.datasplits.datasplit_config import DataSplitConfig
from dacapo.experiments.datasplits.folder import FolderDataSplitConfig
from dacapo.experiments.datasplits.regions import RegionsDataSplitConfig
from dacapo.experiments.datasplits.synthetic import SyntheticDataSplitConfig
from dacapo.experiments.datasplits.volume_config import ArrayConfig, RegionConfig, VolumeConfig
from dacapo.experiments.datasplits.volumes import VolumesDataSplitConfig
from dacapo.experiments.lazy import lazy_exports

if TYPE_CHECKING:
    from dacapo.experiments.datasplits.datasplit import DataSplit

__all__ = [
    "ArrayConfig",
    "CsvDataSplitConfig",
    "DataSplit",
    "DataSplitConfig",
    "FolderDataSplitConfig",
    "RegionConfig",
    "RegionsDataSplitConfig",
    "SyntheticDataSplitConfig",
    "VolumeConfig",
    "VolumesDataSplitConfig",
]

__getattr__ = lazy_exports(__name__, {"DataSplit": "datasplit"})
