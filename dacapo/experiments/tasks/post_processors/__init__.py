"""From a prediction to a segmentation: configs at once, what they build on demand."""

from typing import TYPE_CHECKING

from dacapo.experiments.lazy import lazy_exports
from dacapo.experiments.tasks.post_processors.configs import (
    AffinitiesPostProcessorConfig,
    AgglomerationConfig,
    ArgmaxConfig,
    ComponentsConfig,
    MapsPostProcessorConfig,
    MutexWatershedConfig,
    PostProcessorConfig,
    ThresholdConfig,
    WatershedConfig,
)

if TYPE_CHECKING:
    from dacapo.experiments.tasks.post_processors.agglomeration import (
        AgglomerationParameters,
        AgglomerationPostProcessor,
    )
    from dacapo.experiments.tasks.post_processors.mutex_watershed import (
        MutexWatershedParameters,
        MutexWatershedPostProcessor,
    )
    from dacapo.experiments.tasks.post_processors.post_processor import (
        Merged,
        PostProcessor,
        PostProcessorParameters,
    )
    from dacapo.experiments.tasks.post_processors.prediction_reader import PredictionReader
    from dacapo.experiments.tasks.post_processors.threshold import (
        ArgmaxParameters,
        ArgmaxPostProcessor,
        ComponentsPostProcessor,
        ThresholdParameters,
        ThresholdPostProcessor,
    )
    from dacapo.experiments.tasks.post_processors.watershed import (
        WatershedParameters,
        WatershedPostProcessor,
    )

__all__ = [
    "AffinitiesPostProcessorConfig",
    "AgglomerationConfig",
    "AgglomerationParameters",
    "AgglomerationPostProcessor",
    "ArgmaxConfig",
    "ArgmaxParameters",
    "ArgmaxPostProcessor",
    "ComponentsConfig",
    "ComponentsPostProcessor",
    "MapsPostProcessorConfig",
    "Merged",
    "MutexWatershedConfig",
    "MutexWatershedParameters",
    "MutexWatershedPostProcessor",
    "PostProcessor",
    "PostProcessorConfig",
    "PostProcessorParameters",
    "PredictionReader",
    "ThresholdConfig",
    "ThresholdParameters",
    "ThresholdPostProcessor",
    "WatershedConfig",
    "WatershedParameters",
    "WatershedPostProcessor",
]

__getattr__ = lazy_exports(
    __name__,
    {
        "AgglomerationParameters": "agglomeration",
        "AgglomerationPostProcessor": "agglomeration",
        "ArgmaxParameters": "threshold",
        "ArgmaxPostProcessor": "threshold",
        "ComponentsPostProcessor": "threshold",
        "PredictionReader": "prediction_reader",
        "Merged": "post_processor",
        "MutexWatershedParameters": "mutex_watershed",
        "MutexWatershedPostProcessor": "mutex_watershed",
        "PostProcessor": "post_processor",
        "PostProcessorParameters": "post_processor",
        "ThresholdParameters": "threshold",
        "ThresholdPostProcessor": "threshold",
        "WatershedParameters": "watershed",
        "WatershedPostProcessor": "watershed",
    },
)
