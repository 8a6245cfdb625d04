"""Segments by agglomeration of watershed fragments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from dacapo.experiments.tasks.post_processors.post_processor import (
    Merged,
    PostProcessor,
    PostProcessorParameters,
)
from dacapo.experiments.tasks.post_processors.prediction_reader import Volume
from dacapo.ops.agglomeration import agglomerate, fragments
from dacapo.ops.fragments import absorb_small


@dataclass(frozen=True)
class AgglomerationParameters(PostProcessorParameters):
    """How far fragments are merged.

    Attributes:
        threshold: fragments merge while the affinity between them is above 1 - threshold.
        quantile: of the affinities between two segments; None: their mean.
        min_size: smaller segments are absorbed by their neighbours, in voxels.
    """

    threshold: float
    quantile: int | None
    min_size: int


class AgglomerationPostProcessor(PostProcessor[AgglomerationParameters]):
    """Fragments once, one agglomeration a quantile, every threshold on the way (waterz).

    Args:
        neighborhood: of the affinities, the first channels of a prediction; those one voxel along
            an axis are used.
        thresholds, quantiles, min_sizes: every combination is tried.
        low_threshold, high_threshold: of fragments; see `dacapo.ops.agglomeration.fragments`.
        per_section: no fragment reaches from one section to the next.
    """

    def __init__(
        self,
        neighborhood: Sequence[Sequence[int]],
        thresholds: Sequence[float],
        quantiles: Sequence[int | None] = (None,),
        min_sizes: Sequence[int] = (0,),
        low_threshold: float = 0.1,
        high_threshold: float = 0.999,
        per_section: bool = False,
    ) -> None:
        self._steps = _unit_steps(neighborhood)
        self._thresholds = sorted(thresholds)
        self._quantiles = list(quantiles)
        self._min_sizes = list(min_sizes)
        self._bounds = low_threshold, high_threshold
        self._per_section = per_section

    def enumerate_parameters(self) -> list[AgglomerationParameters]:
        return [
            AgglomerationParameters(threshold, quantile, size)
            for quantile in self._quantiles
            for threshold in self._thresholds
            for size in self._min_sizes
        ]

    def process(self, prediction: Volume, parameters: AgglomerationParameters) -> Volume:
        affinities = self._affinities(prediction)
        parts = self._fragments(affinities)
        (segment,) = agglomerate(affinities, parts, [parameters.threshold], parameters.quantile)
        return absorb_small(segment[parts], parameters.min_size)

    def process_all(
        self, prediction: Volume
    ) -> Iterator[tuple[AgglomerationParameters, Volume | Merged]]:
        affinities = self._affinities(prediction)
        parts = self._fragments(affinities)
        for quantile in self._quantiles:
            merged = agglomerate(affinities, parts, self._thresholds, quantile)
            for threshold, segment in zip(self._thresholds, merged, strict=True):
                for size in self._min_sizes:
                    parameters = AgglomerationParameters(threshold, quantile, size)
                    whole = Merged(parts, segment)
                    yield parameters, whole if size <= 1 else absorb_small(whole.volume(), size)

    def _affinities(self, prediction: Volume) -> Volume:
        """(dims, *spatial), each to the next voxel along its axis."""
        out = np.zeros((len(self._steps), *prediction.shape[1:]), np.float32)
        for axis, (channel, forward) in enumerate(self._steps):
            affinity = prediction[channel]
            out[axis] = affinity if forward else np.roll(affinity, -1, axis)
        return out

    def _fragments(self, affinities: Volume) -> Volume:
        return fragments(affinities, *self._bounds, per_section=self._per_section)


def _unit_steps(neighborhood: Sequence[Sequence[int]]) -> list[tuple[int, bool]]:
    """For each axis the channel of its offset by one voxel, and whether that goes forward."""
    steps = []
    for axis in range(len(neighborhood[0])):
        forward = [int(a == axis) for a in range(len(neighborhood[0]))]
        offsets = [list(o) for o in neighborhood]
        if forward in offsets:
            steps.append((offsets.index(forward), True))
        else:
            steps.append((offsets.index([-step for step in forward]), False))
    return steps
