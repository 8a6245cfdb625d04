"""Blocks of labels, by which what is annotated is counted."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from funlib.geometry import Coordinate, Roi

from dacapo.experiments.datasplits.datasets import Dataset

_EDGE = {2: 128, 3: 32}  # of a block, in voxels
_MAX_BLOCKS = 2**18

Ints = np.ndarray[Any, np.dtype[np.int64]]


class LabelBlocks:
    """The labels of a dataset in blocks, and the crops around them.

    Crops begin at whole voxels of the coarser of raw and labels, so that neither is interpolated.

    Args:
        size: size of a crop, in world units.
    """

    def __init__(self, dataset: Dataset, size: Coordinate) -> None:
        self.dataset, self.gt, self._size = dataset, dataset.gt, size
        self._step = Coordinate(map(max, self.gt.voxel_size, dataset.raw.voxel_size))
        self._edge = _EDGE.get(self.gt.dims, 32)
        while np.prod([-(-n // self._edge) for n in self.gt.shape]) > _MAX_BLOCKS:
            self._edge *= 2
        self._num = tuple(-(-n // self._edge) for n in self.gt.shape)

    @property
    def sizes(self) -> Ints:
        """Number of voxels in each block."""
        edges = [np.minimum(self._edge, n - np.arange(0, n, self._edge)) for n in self.gt.shape]
        sizes: Ints = np.prod(np.meshgrid(*edges, indexing="ij"), axis=0).ravel()
        return sizes

    def begin_of(self, block: int) -> Coordinate:
        """The first voxel of a block."""
        return Coordinate(int(i) * self._edge for i in np.unravel_index(block, self._num))

    def shape_of(self, block: int) -> Coordinate:
        begin = self.begin_of(block)
        return Coordinate(min(self._edge, n - b) for b, n in zip(begin, self.gt.shape, strict=True))

    def roi(self, block: int) -> Roi:
        """A block in world units."""
        size = self.gt.voxel_size
        return Roi(self.gt.offset + self.begin_of(block) * size, self.shape_of(block) * size)

    def block_of(self, voxel: Coordinate) -> int:
        return int(np.ravel_multi_index(voxel // self._edge, self._num))

    def blocks_of(self, voxels: Ints) -> Ints:
        """The blocks of voxels (N, axes)."""
        return np.asarray(np.ravel_multi_index(tuple(voxels.T // self._edge), self._num))

    def around(self, voxel: Coordinate, rng: np.random.Generator) -> Roi:
        """A crop that contains a voxel at a random position."""
        place = self.gt.offset + voxel * self.gt.voxel_size
        before = [
            int(rng.integers(size // step)) * step
            for size, step in zip(self._size, self._step, strict=True)
        ]
        return Roi(
            [
                self._begin(axis, at, b)
                for axis, (at, b) in enumerate(zip(place, before, strict=True))
            ],
            self._size,
        )

    def about(self, block: int) -> Roi:
        """The representative crop of a block."""
        index = np.unravel_index(block, self._num)
        return Roi([self._middle(axis, int(i)) for axis, i in enumerate(index)], self._size)

    def annotated(self, roi: Roi) -> float:
        """The annotated fraction of a crop."""
        return float(np.mean(self.dataset.read_mask(roi) != 0))

    def blocks_with(self, minimum: float) -> Ints:
        """The blocks whose representative crop has at least this annotated fraction."""
        if not minimum:
            return np.arange(np.prod(self._num), dtype=np.int64)
        return np.flatnonzero(self._shares_annotated.ravel() >= minimum - 1e-9)

    @property
    def most_annotated(self) -> float:
        """The largest annotated fraction of a representative crop."""
        return float(self._shares_annotated.max())

    @cached_property
    def _shares_annotated(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """The annotated fraction of the representative crop of each block, counted exactly.

        The borders of all these crops divide the labels into boxes. The annotated voxels of each
        box are counted once; cumulative sums over boxes then give the count of any crop.
        """
        gt = self.gt
        num_voxels = self._size / gt.voxel_size
        begins, cuts = [], []
        for axis, num in enumerate(self._num):
            world = np.array([self._middle(axis, i) for i in range(num)]) - gt.offset[axis]
            begin = world // gt.voxel_size[axis]
            begins.append(begin)
            borders = np.concatenate([[0], begin, begin + num_voxels[axis], [gt.shape[axis]]])
            cuts.append(np.unique(borders.clip(0, gt.shape[axis])))
        sums = np.zeros([len(c) for c in cuts], np.int64)
        for block in range(int(np.prod(self._num))):
            known = self.dataset.read_mask(self.roi(block)).astype(np.int64)
            place = []
            for axis, (first, cut) in enumerate(zip(self.begin_of(block), cuts, strict=True)):
                inside = cut[(cut > first) & (cut < first + known.shape[axis])]
                known = np.add.reduceat(known, [0, *(inside - first)], axis=axis)
                box = int(np.searchsorted(cut, first, side="right"))
                place.append(slice(box, box + known.shape[axis]))
            sums[tuple(place)] += known
        for axis in range(gt.dims):
            sums = sums.cumsum(axis=axis)
        ends = [
            (np.searchsorted(c, b.clip(0, n)), np.searchsorted(c, (b + v).clip(0, n)))
            for c, b, v, n in zip(cuts, begins, num_voxels, gt.shape, strict=True)
        ]
        for axis, (low, high) in enumerate(ends):
            sums = sums.take(high, axis=axis) - sums.take(low, axis=axis)
        return sums / np.prod(num_voxels)

    def _middle(self, axis: int, block: int) -> int:
        """Where the crop of a block begins; those of the outermost blocks are shifted to the
        edge."""
        if self._num[axis] > 1 and block in (0, self._num[axis] - 1):
            end = self.gt.shape[axis] - 1
            at = self.gt.offset[axis] + (end if block else 0) * self.gt.voxel_size[axis]
            return self._begin(axis, at, 0)
        begin = block * self._edge
        end = min(begin + self._edge, self.gt.shape[axis])
        at = self.gt.offset[axis] + (begin + end) // 2 * self.gt.voxel_size[axis]
        step = self._step[axis]
        return self._begin(axis, at, self._size[axis] // step // 2 * step)

    def _begin(self, axis: int, at: int, before: int) -> int:
        """Where a crop that contains voxel `at` begins along an axis: `before` it, if possible."""
        size, step = int(self._size[axis]), int(self._step[axis])
        low, high = int(self.gt.roi.begin[axis]), int(self.gt.roi.end[axis])
        if high - low <= size:
            return low - (size - (high - low)) // 2 // step * step
        begin = at - (at - low) % step - before
        return min(max(begin, low), low - (size - (high - low)) // step * step)
