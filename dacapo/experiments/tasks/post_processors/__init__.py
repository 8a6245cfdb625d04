"""Post-processors, which turn a prediction into a segmentation; each declares its stages."""

from dacapo.experiments.tasks.post_processors.affinities import (
    AffinitiesPostProcessor,
    AffinityComponents,
    Agglomeration,
    MutexWatershed,
)
from dacapo.experiments.tasks.post_processors.maps import (
    Argmax,
    Components,
    MapsPostProcessor,
    PredictionReader,
    Threshold,
    Watershed,
)
from dacapo.experiments.tasks.post_processors.post_processor import (
    GridPostProcessor,
    LookupSegmentation,
    PostProcessor,
    PostProcessorConfig,
    PostProcessorParameters,
    Setting,
)

__all__ = [
    "AffinitiesPostProcessor",
    "AffinityComponents",
    "Agglomeration",
    "Argmax",
    "Components",
    "GridPostProcessor",
    "LookupSegmentation",
    "MapsPostProcessor",
    "MutexWatershed",
    "PostProcessor",
    "PostProcessorConfig",
    "PostProcessorParameters",
    "PredictionReader",
    "Setting",
    "Threshold",
    "Watershed",
]
