"""Where the crops of a training step lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from funlib.geometry import Coordinate, Roi

from dacapo.experiments.datasplits.datasets import Dataset

_BLOCK = 32
_BLOCK_2D = 128


@dataclass(frozen=True)
class Crop:
    """A region of a dataset that the model's output is to cover."""

    dataset: Dataset
    roi: Roi


class CropSampler:
    """Draws crops that hold an annotated voxel, each annotated voxel as likely as another.

    The annotation is counted once in blocks, so the index stays small for any volume; a draw looks
    at one block. A crop lies inside the labels along every axis where they are large enough, or
    reaches beyond them by less than a voxel of raw where labels are finer.

    Args:
        datasets: with at least one annotated voxel in all.
        size: of a crop, in world units.
    """

    def __init__(self, datasets: Sequence[Dataset], size: Coordinate) -> None:
        self._size = size
        self._datasets = list(datasets)
        self._blocks: list[tuple[int, Roi]] = []
        counts: list[int] = []
        for number, dataset in enumerate(datasets):
            for block in _blocks(dataset):
                count = int(dataset.read_mask(block).sum())
                if count:
                    self._blocks.append((number, block))
                    counts.append(count)
        self._until = np.cumsum(counts)

    def draw(self, rng: np.random.Generator) -> Crop:
        """A crop; a pure function of the generator's state."""
        pick = int(rng.integers(self._until[-1]))
        at = int(np.searchsorted(self._until, pick, side="right"))
        number, block = self._blocks[at]
        dataset = self._datasets[number]
        known = np.flatnonzero(dataset.read_mask(block))
        rank = pick - (int(self._until[at - 1]) if at else 0)
        voxel = np.unravel_index(known[rank], self._shape(dataset, block))
        gt = dataset.gt
        place = block.offset + Coordinate(int(v) for v in voxel) * gt.voxel_size
        step = Coordinate(map(max, gt.voxel_size, dataset.raw.voxel_size))
        begin = [
            _begin(rng, at, size, low, high, s)
            for at, size, low, high, s in zip(
                place, self._size, gt.roi.begin, gt.roi.end, step, strict=True
            )
        ]
        return Crop(dataset, Roi(begin, self._size))

    def _shape(self, dataset: Dataset, block: Roi) -> Coordinate:
        return block.shape / dataset.gt.voxel_size


def _begin(rng: np.random.Generator, at: int, size: int, low: int, high: int, step: int) -> int:
    """Where a crop may begin along one axis so that it holds the voxel at `at`."""
    before = int(rng.integers(size // step)) * step
    begin = at - (at - low) % step - before
    if high - low <= size:
        return low - (size - (high - low)) // 2 // step * step
    return min(max(begin, low), low - (size - (high - low)) // step * step)


def _blocks(dataset: Dataset) -> list[Roi]:
    """The labels in blocks, the last of each axis cut to size."""
    gt = dataset.gt
    edge = _BLOCK_2D if gt.dims == 2 else _BLOCK
    starts = [range(0, n, edge) for n in gt.shape]
    blocks: list[Roi] = []
    for start in product(*starts):
        shape = Coordinate(min(edge, n - s) for s, n in zip(start, gt.shape, strict=True))
        blocks.append(Roi(gt.offset + Coordinate(start) * gt.voxel_size, shape * gt.voxel_size))
    return blocks
