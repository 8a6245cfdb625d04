"""Begin with the weights of a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dacapo.config import config
from dacapo.experiments.starts.start_config import StartConfig

if TYPE_CHECKING:
    from dacapo.experiments.starts.weight_starts import CheckpointStart


@config("start")
@dataclass(kw_only=True)
class CheckpointStartConfig(StartConfig):
    """Begin with the weights of a file; those that do not fit are listed and stay fresh."""

    path: str
    """A checkpoint of a run, any .safetensors file, or a state dict saved by torch.save."""

    def build(self) -> CheckpointStart:
        from dacapo.experiments.starts.weight_starts import CheckpointStart

        return CheckpointStart(Path(self.path), self.freeze)
