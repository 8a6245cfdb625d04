"""From a prediction to a segmentation."""

from dacapo.experiments.tasks.post_processors.mutex_watershed import (
    MutexWatershedParameters,
    MutexWatershedPostProcessor,
)
from dacapo.experiments.tasks.post_processors.post_processor import (
    PostProcessor,
    PostProcessorParameters,
)

__all__ = [
    "MutexWatershedParameters",
    "MutexWatershedPostProcessor",
    "PostProcessor",
    "PostProcessorParameters",
]
