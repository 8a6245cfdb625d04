"""Segments from affinities."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch

from dacapo.experiments.tasks.post_processors.post_processor import (
    PostProcessor,
    PostProcessorParameters,
    Volume,
)
from dacapo.ops.fragments import absorb_small
from dacapo.processes.prefetch import prefetch

_MOST_THREADS = 4  # each holds a copy of the weights and a list of the edges


@dataclass(frozen=True)
class MutexWatershedParameters(PostProcessorParameters):
    """An affinity above the bias of its offset attracts, one below it repels.

    Attributes:
        bias: of the short-range offsets (one voxel).
        long_bias: of the long-range offsets.
        min_size: smaller segments are absorbed by their neighbours, in voxels.
    """

    bias: float
    long_bias: float
    min_size: int


class MutexWatershedPostProcessor(PostProcessor[MutexWatershedParameters]):
    """Mutex watershed (Wolf et al. 2018) with a grid of biases.

    Args:
        neighborhood: of the affinities, the first channels of a prediction.
        biases, long_biases, min_sizes: every combination is tried.
        long_stride: long-range edges are used at every so many-th voxel along each axis.
        random_strides: as many of them, but at random voxels.
    """

    def __init__(
        self,
        neighborhood: Sequence[Sequence[int]],
        biases: Sequence[float],
        long_biases: Sequence[float],
        min_sizes: Sequence[int] = (0,),
        long_stride: int = 1,
        random_strides: bool = False,
    ) -> None:
        self.neighborhood = [list(o) for o in neighborhood]
        self._biases = list(product(biases, long_biases))
        self._min_sizes = list(min_sizes)
        self._long = np.array([sum(map(abs, o)) > 1 for o in self.neighborhood])
        self._random_strides = random_strides
        dims = len(self.neighborhood[0])
        self._strides = [[long_stride if far else 1] * dims for far in self._long]

    def enumerate_parameters(self) -> list[MutexWatershedParameters]:
        return [
            MutexWatershedParameters(*b, size) for b in self._biases for size in self._min_sizes
        ]

    def process(self, prediction: Volume, parameters: MutexWatershedParameters) -> Volume:
        segments = self._segments(prediction, parameters.bias, parameters.long_bias)
        return absorb_small(segments, parameters.min_size)

    def process_all(self, prediction: Volume) -> Iterator[tuple[MutexWatershedParameters, Volume]]:
        threads = min(torch.get_num_threads(), _MOST_THREADS)
        every = prefetch(
            lambda i: self._segments(prediction, *self._biases[i]),
            begin=0,
            end=len(self._biases),
            num_workers=threads if threads > 1 else 0,
        )
        for (bias, long_bias), segments in zip(self._biases, every, strict=True):
            for size in self._min_sizes:
                parameters = MutexWatershedParameters(bias, long_bias, size)
                yield parameters, absorb_small(segments, size)

    def _segments(self, prediction: Volume, bias: float, long_bias: float) -> Volume:
        from dacapo.ops.mutex_watershed import mutex_watershed  # numba starts here

        affinities = prediction[: len(self.neighborhood)]
        biases = np.where(self._long, long_bias, bias).astype(np.float32)
        weights = affinities - biases.reshape(-1, *[1] * (affinities.ndim - 1))
        return mutex_watershed(
            weights, self.neighborhood, self._strides, random_strides=self._random_strides
        )
