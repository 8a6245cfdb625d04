"""Classes and objects by a threshold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from dacapo.experiments.tasks.post_processors.maps import Maps, Volume
from dacapo.experiments.tasks.post_processors.post_processor import (
    PostProcessor,
    PostProcessorParameters,
)
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
        self, maps: Maps, thresholds: Sequence[float], min_sizes: Sequence[int] = (0,)
    ) -> None:
        self._maps = maps
        self._settings = [ThresholdParameters(*pair) for pair in product(thresholds, min_sizes)]

    def enumerate_parameters(self) -> list[ThresholdParameters]:
        return self._settings

    def process(self, prediction: Volume, parameters: ThresholdParameters) -> Volume:
        inside = self._maps.classes(prediction) > parameters.threshold
        kept = [without_small(channel, parameters.min_size) for channel in inside]
        return np.stack(kept).astype(np.uint8)


class ComponentsPostProcessor(ThresholdPostProcessor):
    """Each connected part above the threshold is an object.

    Args:
        maps: of one class; objects are taken out of its interior.
    """

    def process(self, prediction: Volume, parameters: ThresholdParameters) -> Volume:
        objects = components(self._maps.interior(prediction) > parameters.threshold)
        return keep_large(objects, parameters.min_size)


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
