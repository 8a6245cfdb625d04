"""Begin with the weights of a model of bioimage.io."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dacapo.config import config
from dacapo.experiments.starts.start_config import StartConfig

if TYPE_CHECKING:
    from dacapo.experiments.starts.weight_starts import BioimageioStart


@config("start")
@dataclass(kw_only=True)
class BioimageioStartConfig(StartConfig):
    """Begin with the weights of a downloaded model of bioimage.io, for architecture=bioimageio."""

    path: str
    """The package: a zip file, a folder, or its rdf.yaml."""

    def build(self) -> BioimageioStart:
        from dacapo.experiments.starts.weight_starts import BioimageioStart

        return BioimageioStart(Path(self.path), self.freeze)
