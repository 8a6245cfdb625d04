"""Classes and objects by a threshold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from dacapo.experiments.tasks.post_processors.post_processor import (
    PostProcessor,
    PostProcessorParameters,
)
from dacapo.experiments.tasks.post_processors.prediction_reader import PredictionReader, Volume
from dacapo.ops.components import components, keep_large, without_small


@dataclass(frozen=True)
class ThresholdParameters(PostProcessorParameters):
    """What lies above the threshold is inside.

    Attributes:
        threshold: in the values of the prediction.
        min_size: smaller connected parts are dropped, in voxels.
    """

    threshold: float
    min_size: int


class ThresholdPostProcessor(PostProcessor[ThresholdParameters]):
    """Each class by itself: (K, *spatial) of 0 and 1.

    Args:
        maps: of any number of classes.
        thresholds, min_sizes: every combination is tried.
    """

    def __init__(
        self, maps: PredictionReader, thresholds: Sequence[float], min_sizes: Sequence[int] = (0,)
    ) -> None:
        self._maps = maps
        self._thresholds = list(thresholds)
        self._min_sizes = list(min_sizes)

    def enumerate_parameters(self) -> list[ThresholdParameters]:
        return [ThresholdParameters(*pair) for pair in product(self._thresholds, self._min_sizes)]

    def process(self, prediction: Volume, parameters: ThresholdParameters) -> Volume:
        return next(self._of_sizes(prediction, parameters.threshold, [parameters.min_size]))

    def process_all(self, prediction: Volume) -> Iterator[tuple[ThresholdParameters, Volume]]:
        for threshold in self._thresholds:
            every = self._of_sizes(prediction, threshold, self._min_sizes)
            for size, segments in zip(self._min_sizes, every, strict=True):
                yield ThresholdParameters(threshold, size), segments

    def _of_sizes(
        self, prediction: Volume, threshold: float, sizes: Sequence[int]
    ) -> Iterator[Volume]:
        """The segmentations of one threshold; its connected parts are found once."""
        inside = self._maps.classes(prediction) > threshold
        parts = [components(channel) if max(sizes) > 1 else channel for channel in inside]
        for size in sizes:
            yield np.stack([keep_large(part, size) != 0 for part in parts]).astype(np.uint8)


class ComponentsPostProcessor(ThresholdPostProcessor):
    """Each connected part above the threshold is an object.

    Args:
        maps: of one class; objects are taken out of its interior.
    """

    def _of_sizes(
        self, prediction: Volume, threshold: float, sizes: Sequence[int]
    ) -> Iterator[Volume]:
        objects = components(self._maps.interior(prediction) > threshold)
        for size in sizes:
            yield keep_large(objects, size)


@dataclass(frozen=True)
class ArgmaxParameters(PostProcessorParameters):
    """The most probable class wins.

    Attributes:
        min_size: smaller connected parts become background, in voxels.
    """

    min_size: int


class ArgmaxPostProcessor(PostProcessor[ArgmaxParameters]):
    """Classes that exclude each other: 0 for background, then the number of the class.

    Args:
        min_sizes: all are tried.
    """

    def __init__(self, min_sizes: Sequence[int] = (0,)) -> None:
        self._min_sizes = list(min_sizes)

    def enumerate_parameters(self) -> list[ArgmaxParameters]:
        return [ArgmaxParameters(size) for size in self._min_sizes]

    def process(self, prediction: Volume, parameters: ArgmaxParameters) -> Volume:
        winner: Volume = prediction.argmax(axis=0).astype(np.uint16)
        if parameters.min_size <= 1:
            return winner
        out = np.zeros_like(winner)
        for number in range(1, len(prediction)):
            out[without_small(winner == number, parameters.min_size)] = number
        return out
