"""What is trained and validated on."""

from typing import TYPE_CHECKING

from dacapo.experiments.datasplits.datasplit_config import DataSplitConfig
from dacapo.experiments.datasplits.synthetic import SyntheticDataSplitConfig
from dacapo.experiments.datasplits.volumes import VolumeConfig, VolumesDataSplitConfig
from dacapo.lazy import lazy_exports

if TYPE_CHECKING:
    from dacapo.experiments.datasplits.datasplit import DataSplit

__all__ = [
    "DataSplit",
    "DataSplitConfig",
    "SyntheticDataSplitConfig",
    "VolumeConfig",
    "VolumesDataSplitConfig",
]

__getattr__ = lazy_exports(__name__, {"DataSplit": "datasplit"})
