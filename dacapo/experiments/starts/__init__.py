"""Sources of initial weights other than random initialisation."""

from dacapo.experiments.starts.start import Start, StartConfig
from dacapo.experiments.starts.weight_starts import BioimageioStart, CheckpointStart, RunStart

__all__ = ["BioimageioStart", "CheckpointStart", "RunStart", "Start", "StartConfig"]
