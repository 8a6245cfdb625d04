"""Where the weights of a run come from, if not from chance."""

from typing import TYPE_CHECKING

from dacapo.experiments.lazy import lazy_exports
from dacapo.experiments.starts.bioimageio_start import BioimageioStartConfig
from dacapo.experiments.starts.checkpoint_start import CheckpointStartConfig
from dacapo.experiments.starts.run_start import RunStartConfig
from dacapo.experiments.starts.start_config import StartConfig

if TYPE_CHECKING:
    from dacapo.experiments.starts.start import Start

__all__ = [
    "BioimageioStartConfig",
    "CheckpointStartConfig",
    "RunStartConfig",
    "Start",
    "StartConfig",
]

__getattr__ = lazy_exports(__name__, {"Start": "start"})
