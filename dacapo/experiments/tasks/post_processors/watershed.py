"""Objects from a map of their inside."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dacapo.experiments.tasks.post_processors.post_processor import (
    PostProcessor,
    PostProcessorParameters,
)
from dacapo.experiments.tasks.post_processors.prediction_reader import PredictionReader, Volume
from dacapo.ops.components import components, keep_large


@dataclass(frozen=True)
class WatershedParameters(PostProcessorParameters):
    """Where objects are, and where each has its seed.

    Attributes:
        threshold: what lies above it belongs to objects.
        seed_threshold: each connected part whose interior lies above it is the seed of an object.
        min_size: smaller objects are dropped, in voxels.
    """

    threshold: float
    seed_threshold: float
    min_size: int


class WatershedPostProcessor(PostProcessor[WatershedParameters]):
    """Seeded watershed (Meyer 1991) on the interior of objects, with a grid of thresholds.

    Args:
        maps: of one class.
        thresholds, seed_thresholds, min_sizes: every combination is tried.
    """

    def __init__(
        self,
        maps: PredictionReader,
        thresholds: Sequence[float],
        seed_thresholds: Sequence[float],
        min_sizes: Sequence[int] = (0,),
    ) -> None:
        self._maps = maps
        self._grid = list(thresholds), list(seed_thresholds), list(min_sizes)

    def enumerate_parameters(self) -> list[WatershedParameters]:
        thresholds, seeds, sizes = self._grid
        return [
            WatershedParameters(threshold, seed, size)
            for seed in seeds
            for threshold in thresholds
            for size in sizes
        ]

    def process(self, prediction: Volume, parameters: WatershedParameters) -> Volume:
        interior = self._maps.interior(prediction)
        seeds = components(interior > parameters.seed_threshold)
        return keep_large(self._flood(prediction, seeds, parameters.threshold), parameters.min_size)

    def process_all(self, prediction: Volume) -> Iterator[tuple[WatershedParameters, Volume]]:
        thresholds, seed_thresholds, sizes = self._grid
        interior = self._maps.interior(prediction)
        for seed_threshold in seed_thresholds:
            seeds = components(interior > seed_threshold)
            for threshold in thresholds:
                objects = self._flood(prediction, seeds, threshold)
                for size in sizes:
                    parameters = WatershedParameters(threshold, seed_threshold, size)
                    yield parameters, keep_large(objects, size)

    def _flood(self, prediction: Volume, seeds: Volume, threshold: float) -> Volume:
        from dacapo.ops.watershed import seeded_watershed  # numba starts here

        inside = self._maps.classes(prediction)[0] > threshold
        return seeded_watershed(self._maps.interior(prediction), seeds, inside)
