"""Whether a prediction depends on the blocks in which it is computed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise, product
from typing import Any

import numpy as np
from funlib.geometry import Coordinate, Roi

from dacapo.arrays.array import Array

MAX_SEAM = 1e-4
"""The difference that rounding may make."""


def largest_seam(prediction: Array, edge: int) -> float:
    """The largest difference of a prediction between blocks of two grids and the whole.

    Args:
        prediction: computed where it is read; its middle is tried, two blocks along each axis.
        edge: of the blocks, in voxels.
    """
    size = prediction.voxel_size
    shape = Coordinate(min(2 * edge, n) for n in prediction.shape)
    corner = prediction.offset + (prediction.roi.shape / size - shape) / 2 * size
    whole = prediction.read(Roi(corner, shape * size))
    largest = 0.0
    for first in (edge, max(1, edge // 3)):
        for begin, end in _blocks(shape, edge, first):
            roi = Roi(corner + begin * size, (end - begin) * size)
            place: Any = (..., *(slice(b, e) for b, e in zip(begin, end, strict=True)))
            part = prediction.read(roi) - whole[place]
            largest = max(largest, float(np.abs(part).max()))
    return largest


def _blocks(shape: Sequence[int], edge: int, first: int) -> Iterator[tuple[Coordinate, Coordinate]]:
    """Begin and end of the blocks of a grid whose first block has another edge."""
    axes = [list(pairwise(sorted({0, *range(first, n, edge), n}))) for n in shape]
    for block in product(*axes):
        yield Coordinate(b for b, _ in block), Coordinate(e for _, e in block)
