"""The choice of crops to train on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import fastremap
import numpy as np
from funlib.geometry import Coordinate, Roi

from dacapo.errors import InputError
from dacapo.experiments.datasplits.datasets import Dataset
from dacapo.experiments.trainers.label_blocks import LabelBlocks

Labels = np.ndarray[Any, np.dtype[Any]]
Ints = np.ndarray[Any, np.dtype[np.int64]]
Coding = Callable[[Dataset, Roi], Labels]
"""For each voxel of a region the key under which it is drawn; 0: never."""


@dataclass(frozen=True)
class Crop:
    """A region of a dataset for the model's output."""

    dataset: Dataset
    roi: Roi


class CropSampler:
    """Draws crops that contain an annotated voxel.

    Annotated voxels are counted once, per block, so the index stays small for any volume; a draw
    reads only one block. Along every axis where the labels are large enough, a crop is inside them,
    or exceeds them by less than a voxel of raw where labels are finer.

    Args:
        datasets: together they have at least one annotated voxel.
        size: size of a crop, in world units.
        sampling: what is equally likely to be drawn: `voxels`, each annotated voxel; `objects`,
            each label id of each dataset; `classes`, each class and the background.
        class_masks: for `classes`: masks of where labels belong to each class.
        classes: for `classes`: their names.
        min_annotated: smallest annotated fraction of a crop. If a drawn crop has less, the
            representative crop of its block is used, so that no draw is repeated.

    Raises:
        InputError: no crop can be drawn.
    """

    def __init__(
        self,
        datasets: Sequence[Dataset],
        size: Coordinate,
        sampling: str = "voxels",
        class_masks: Callable[[Labels], list[Labels]] | None = None,
        classes: Sequence[str] = (),
        min_annotated: float = 0.0,
    ) -> None:
        self._min_annotated = min_annotated
        self._grids = [LabelBlocks(dataset, size) for dataset in datasets]
        self._code = _coding(sampling, class_masks, classes)
        self._counts_all = sampling == "voxels"
        found = [self._entries(number) for number in range(len(datasets))]
        if not any(len(entries.count) for entries in found):
            raise InputError(self._nothing(sampling))
        weights = [dataset.sampling_weight for dataset in datasets]
        points = [dataset.sample_points is not None for dataset in datasets]
        self._shares: np.ndarray[Any, np.dtype[np.float64]] | None = None
        if any(w is not None for w in weights) or any(points):
            shares = _dataset_shares(datasets, found)
            self._tables = [_Table([e], sampling) for e, s in zip(found, shares, strict=True) if s]
            self._shares = np.cumsum([s for s in shares if s])[:-1]
        else:
            self._tables = [_Table(found, sampling)]

    def draw(self, rng: np.random.Generator) -> Crop:
        """Draw a crop; a pure function of the generator's state."""
        table = self._tables[0]
        if self._shares is not None:
            table = self._tables[int(np.searchsorted(self._shares, rng.random(), side="right"))]
        number, key, block, rank = table.draw(rng)
        grid = self._grids[number]
        points = grid.dataset.sample_points
        if points is not None:
            voxel = (Coordinate(points[block].tolist()) - grid.gt.offset) // grid.gt.voxel_size
        else:
            voxel = self._voxel(grid, key, block, rank)
        # The voxel is anywhere in the crop, not at its centre, where the network would otherwise
        # always see an annotated voxel. Drawing again until enough is annotated would favour crops
        # in the middle of the annotation, and could take forever where annotation is sparse.
        roi = grid.around(voxel, rng)
        if self._min_annotated and grid.annotated(roi) < self._min_annotated:
            roi = grid.about(grid.block_of(voxel))
        return Crop(grid.dataset, roi)

    def _entries(self, number: int) -> _Entries:
        """Count what can be drawn in one dataset."""
        grid = self._grids[number]
        allowed = grid.blocks_with(self._min_annotated)
        if grid.dataset.sample_points is not None:
            return self._points(number, grid, allowed)
        if self._counts_all and grid.dataset.is_fully_annotated:
            return _Entries(number, np.ones(len(allowed), np.int64), allowed, grid.sizes[allowed])
        keys, blocks, counts = [], [], []
        for block in allowed.tolist():
            ids, times = fastremap.unique(
                self._code(grid.dataset, grid.roi(block)), return_counts=True
            )
            kept = ids != 0
            keys.append(ids[kept])
            counts.append(times[kept].astype(np.int64))
            blocks.append(np.full(kept.sum(), block))
        if not keys:
            return _Entries(number, allowed, allowed, allowed)
        return _Entries(number, *(np.concatenate(p) for p in (keys, blocks, counts)))

    def _points(self, number: int, grid: LabelBlocks, allowed: Ints) -> _Entries:
        points = grid.dataset.sample_points
        assert points is not None
        voxels = (points - np.array(grid.gt.offset)) // np.array(grid.gt.voxel_size)
        inside = np.isin(grid.blocks_of(voxels), allowed)
        at = np.flatnonzero(inside)
        return _Entries(number, np.ones(len(at), np.int64), at, np.ones(len(at), np.int64))

    def _voxel(self, grid: LabelBlocks, key: Any, block: int, rank: int) -> Coordinate:
        """The `rank`-th voxel of a block among those drawn under `key`."""
        shape = grid.shape_of(block)
        if not (self._counts_all and grid.dataset.is_fully_annotated):
            rank = int(np.flatnonzero(self._code(grid.dataset, grid.roi(block)) == key)[rank])
        return grid.begin_of(block) + Coordinate(int(i) for i in np.unravel_index(rank, shape))

    def _nothing(self, sampling: str) -> str:
        names = ", ".join(grid.dataset.name for grid in self._grids)
        if self._min_annotated:
            best = max(grid.most_annotated for grid in self._grids)
            return (
                f"trainer.min_annotated={self._min_annotated}: no crop of {names} is annotated "
                f"that much, but at most {best:.3g}: lower it"
            )
        return f"trainer.sampling={sampling}: no voxel to draw crops around in {names}"


@dataclass(frozen=True)
class _Entries:
    """The number of voxels that can be drawn, per block of a dataset and per key."""

    number: int
    key: Labels
    block: Ints
    count: Ints


class _Table:
    """Entries in groups; a draw picks a group, then one of its voxels, both uniformly.

    All voxels form one group. Objects of different datasets are different groups; a class is one
    group across datasets.
    """

    def __init__(self, parts: Sequence[_Entries], sampling: str) -> None:
        self._number = np.concatenate([np.full(len(p.key), p.number) for p in parts])
        self._key = np.concatenate([p.key for p in parts])
        self._block = np.concatenate([p.block for p in parts])
        count = np.concatenate([p.count for p in parts])
        if sampling == "voxels":
            self._starts = np.array([0, len(count)])
        else:
            first = self._number if sampling == "objects" else self._number * 0
            order = np.lexsort((self._key, first))
            self._number, self._key = self._number[order], self._key[order]
            self._block, count = self._block[order], count[order]
            first = first[order]
            is_new = (self._key[1:] != self._key[:-1]) | (first[1:] != first[:-1])
            self._starts = np.array([0, *(np.flatnonzero(is_new) + 1), len(count)])
        self._until = np.cumsum(count)

    def draw(self, rng: np.random.Generator) -> tuple[int, Any, int, int]:
        """Draw a dataset, key, block, and the rank of a voxel there."""
        group = int(rng.integers(len(self._starts) - 1)) if len(self._starts) > 2 else 0
        first, last = self._starts[group], self._starts[group + 1]
        before = int(self._until[first - 1]) if first else 0
        pick = before + int(rng.integers(int(self._until[last - 1]) - before))
        at = int(np.searchsorted(self._until, pick, side="right"))
        rank = pick - (int(self._until[at - 1]) if at else 0)
        return int(self._number[at]), self._key[at], int(self._block[at]), rank


def _coding(
    sampling: str, class_masks: Callable[[Labels], list[Labels]] | None, classes: Sequence[str]
) -> Coding:
    """The keys under which voxels are drawn."""

    def voxels(dataset: Dataset, roi: Roi) -> Labels:
        return dataset.read_mask(roi)

    def objects(dataset: Dataset, roi: Roi) -> Labels:
        labels = dataset.read_gt(roi)
        return np.where(dataset.read_mask(roi) != 0, labels.astype(np.uint64), np.uint64(0))

    def each_class(dataset: Dataset, roi: Roi) -> Labels:
        assert class_masks is not None
        annotated = dataset.annotates(classes)
        known = dataset.read_mask(roi) != 0
        # Background can be drawn only where all classes are annotated.
        code: Labels = (known & all(annotated)).astype(np.int32)
        for number, (mask, a) in enumerate(
            zip(class_masks(dataset.read_gt(roi)), annotated, strict=True), start=2
        ):
            if a:
                code[mask & known] = number
        return code

    return {"voxels": voxels, "objects": objects, "classes": each_class}[sampling]


def _dataset_shares(datasets: Sequence[Dataset], found: Sequence[_Entries]) -> list[float]:
    """The probability of each dataset: by weights, or by the number of annotated voxels."""
    weights = [dataset.sampling_weight for dataset in datasets]
    if any(w is None for w in weights) and any(w is not None for w in weights):
        missing = next(d.name for d in datasets if d.sampling_weight is None)
        raise InputError(
            f"datasplit.train.{missing}.sampling_weight is missing: give one to each volume or to "
            f"none"
        )
    if weights[0] is None:
        weights = [
            float(sum(int(d.read_mask(b).sum()) for b in d.blocks()) if not d.is_fully_annotated
                  else np.prod(d.gt.shape))
            for d in datasets
        ]  # fmt: skip
    kept = [w or 0.0 if len(e.count) else 0.0 for w, e in zip(weights, found, strict=True)]
    return [k / sum(kept) for k in kept]
