"""What a plan needs to know of annotated volumes: sizes, densities and thicknesses of objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
from funlib.geometry import Roi

from dacapo.arrays.units import from_world, is_pixel, scale_of
from dacapo.arrays.views import sample_blocks
from dacapo.experiments.datasplits.datasets import Dataset
from dacapo.ops.components import pieces
from dacapo.ops.objects import count_faces

_WHOLE = 48 * 10**6
"""Voxels of a volume that is examined whole; of a larger one, some blocks are."""
_EDGE = 224
_TINY = 0.02
"""Objects smaller than this fraction of the median, weighted by volume, are fragments."""
Volume = np.ndarray[Any, np.dtype[Any]]
Floats = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True, kw_only=True)
class Fingerprint:
    """The properties of annotated volumes on which the choices of a plan depend.

    Lengths are in `unit`, per axis or of any direction; shares are of annotated voxels.

    Attributes:
        num_volumes: number of volumes.
        shape: of the labelled region, in voxels; of several volumes, the least along each axis.
        voxel_size: of the labels.
        raw_voxel_size: of raw.
        unit: unit of lengths; pixel if the size of a voxel is not known.
        num_channels: channels of raw.
        dtype: type of raw.
        intensities: percentiles 1, 50 and 99 of raw.
        annotated: annotated share of the labelled region.
        labelled: share with an id other than 0.
        touching: share of the objects' surface that faces another object, not background.
        is_sampled: whether only some blocks were examined.
        ids: id -> voxels in all volumes, without 0.
        sizes: voxels of each object, which is an id of one volume.
        pieces: median number of connected pieces of an id.
        num_fragments: objects of less than 2 % of a typical volume.
        volume: median volume of the other objects, in voxels.
        thickness: of an object, the diameter of the largest ball inside it: the percentiles 10, 50
            and 90 over the objects that are not fragments; NaN without any.
        empty: (axis, begin, end) in voxels of the first volume's labels: the largest slab at an end
            of an axis that has no label although it is annotated.
        profiles: of a single volume, the share of each section along each axis that belongs to
            objects; empty: not known.
    """

    num_volumes: int
    shape: tuple[int, ...]
    voxel_size: tuple[float, ...]
    raw_voxel_size: tuple[float, ...]
    unit: str
    num_channels: int
    dtype: str
    intensities: tuple[float, float, float]
    annotated: float
    labelled: float
    touching: float
    is_sampled: bool
    ids: dict[int, int] = field(repr=False)
    sizes: tuple[int, ...] = field(repr=False)
    pieces: float
    num_fragments: int
    volume: float
    thickness: tuple[float, float, float]
    empty: tuple[int, int, int] | None = None
    profiles: tuple[tuple[float, ...], ...] = field(default=(), repr=False)

    @property
    def dims(self) -> int:
        """The number of spatial axes."""
        return len(self.shape)

    @property
    def num_objects(self) -> int:
        """The number of objects that are not fragments."""
        return len(self.sizes) - self.num_fragments

    @property
    def anisotropy(self) -> float:
        """The longest edge of a voxel of raw in terms of the shortest."""
        return max(self.raw_voxel_size) / min(self.raw_voxel_size)

    @property
    def nanometres(self) -> tuple[float, ...] | None:
        """The voxel size of raw in nm; None if it is not known."""
        if is_pixel(self.unit):
            return None
        scale = scale_of(self.unit, "unit") / scale_of("nm", "unit")
        return tuple(size * scale for size in self.raw_voxel_size)

    @property
    def is_bright_on_dark(self) -> bool:
        """Whether few voxels are much brighter than most, as in fluorescence."""
        low, middle, high = self.intensities
        return middle - low < 0.35 * (high - low)


def fingerprint(datasets: Sequence[Dataset], num_blocks: int = 6) -> Fingerprint:
    """Examine the labels and intensities of volumes.

    Args:
        num_blocks: how many blocks of a large volume to look at.
    """
    first = datasets[0]
    unit = first.gt.unit
    blocks: list[_Block] = []
    ids: dict[int, int] = {}
    sizes: dict[tuple[str, int], int] = {}
    thickness: dict[tuple[str, int], float] = {}
    for dataset in datasets:
        for roi in _blocks(dataset, num_blocks):
            block = _examine(dataset, roi)
            blocks.append(block)
            for (number, size), ball in zip(block.sizes.items(), block.thickness, strict=True):
                key = dataset.name, number
                ids[number] = ids.get(number, 0) + size
                sizes[key] = sizes.get(key, 0) + size
                thickness[key] = max(thickness.get(key, 0.0), ball)
    counts = np.array(list(sizes.values()), np.float64)
    balls = np.array(list(thickness.values()), np.float64)
    typical = _weighted_median(counts, counts)
    whole = counts >= _TINY * typical
    annotated = sum(block.annotated for block in blocks)
    raw = np.concatenate([block.raw for block in blocks])
    low, middle, high = np.percentile(raw, (1, 50, 99)).tolist()
    surface = sum(block.surface for block in blocks)
    return Fingerprint(
        num_volumes=len(datasets),
        shape=tuple(map(min, *(d.gt.shape for d in datasets), first.gt.shape)),
        voxel_size=tuple(from_world(first.gt.voxel_size, unit)),
        raw_voxel_size=tuple(from_world(first.raw.voxel_size, unit)),
        unit=unit,
        num_channels=first.num_channels,
        dtype=str(first.raw.dtype),
        intensities=(low, middle, high),
        annotated=annotated / max(1, sum(block.voxels for block in blocks)),
        labelled=float(counts.sum()) / max(1, annotated),
        touching=sum(block.contact for block in blocks) / max(1, surface),
        is_sampled=any(prod(dataset.gt.shape) > _WHOLE for dataset in datasets),
        ids=ids,
        sizes=tuple(sizes.values()),
        pieces=float(np.median([p for block in blocks for p in block.pieces] or [0])),
        num_fragments=int((~whole).sum()),
        volume=float(np.median(counts[whole])) if whole.any() else float("nan"),
        thickness=_percentiles(balls[whole]),
        empty=_empty_end(first),
        profiles=_profiles(datasets),
    )


@dataclass(frozen=True)
class _Block:
    voxels: int
    annotated: int
    raw: Floats
    sizes: dict[int, int]
    thickness: list[float]
    pieces: list[int]
    contact: int
    surface: int


def _examine(dataset: Dataset, roi: Roi) -> _Block:
    import edt
    import fastremap
    from scipy import ndimage

    known = dataset.read_mask(roi) != 0
    kept = np.where(known, dataset.read_gt(roi), 0)
    labels, numbers = fastremap.renumber(kept)
    labels = labels.astype(np.int64)
    ids = {new: old for old, new in numbers.items() if old}
    counts = np.bincount(labels.ravel(), minlength=len(ids) + 1)
    voxel = tuple(from_world(dataset.gt.voxel_size, dataset.gt.unit))
    # Within a block, an object that its border cuts seems to go on beyond it.
    depth = edt.edt(labels, anisotropy=voxel, black_border=False, parallel=1)
    extent = max(n * size for n, size in zip(labels.shape, voxel, strict=True))
    depth = np.minimum(depth, extent / 2)  # infinite in an object that fills the block
    deepest = ndimage.maximum(depth, labels, sorted(ids)) if ids else []
    parts = pieces(labels)
    first = np.unique(parts, return_index=True)[1]
    owners = labels.ravel()[first]
    contact, surface = count_faces(labels, known)
    raw = dataset.raw.read(dataset.raw.covering(roi), out_of_bounds="mirror").ravel()
    return _Block(
        known.size,
        int(known.sum()),
        raw[:: max(1, raw.size // 10**5)].astype(np.float64),
        {int(ids[new]): int(counts[int(new)]) for new in sorted(ids)},
        [2 * float(d) for d in deepest],
        np.bincount(owners, minlength=len(ids) + 1)[1:].tolist(),
        contact,
        surface,
    )


def _blocks(dataset: Dataset, count: int) -> list[Roi]:
    gt = dataset.gt
    if prod(gt.shape) <= _WHOLE:
        return [gt.roi]
    return list(sample_blocks(gt, _EDGE if gt.dims == 3 else 2048, count))


def _empty_end(dataset: Dataset) -> tuple[int, int, int] | None:
    """The largest slab at an end of an axis without any label."""
    gt = dataset.gt
    if prod(gt.shape) > _WHOLE:
        return None
    labels, known = dataset.read_gt(gt.roi) != 0, dataset.read_mask(gt.roi) != 0
    best: tuple[float, tuple[int, int, int]] | None = None
    for axis, num in enumerate(gt.shape):
        others = tuple(a for a in range(gt.dims) if a != axis)
        full = np.flatnonzero(labels.any(axis=others))
        if not len(full):
            return None
        for begin, end in ((0, int(full[0])), (int(full[-1]) + 1, num)):
            inside = [slice(None)] * gt.dims
            inside[axis] = slice(begin, end)
            if end > begin and known[tuple(inside)].any():
                share = (end - begin) / num
                best = max(best or (0.0, (0, 0, 0)), (share, (axis, begin, end)))
    return None if best is None else best[1]


def annotated_box(dataset: Dataset, least: float = 0.1) -> dict[int, tuple[int, int]]:
    """Axis -> begin and end of what a mask or an ignore_label calls annotated, in voxels.

    Args:
        least: share of an axis that must lie beyond for it to count.
    """
    gt = dataset.gt
    if dataset.is_fully_annotated or prod(gt.shape) > _WHOLE:
        return {}
    known = dataset.read_mask(gt.roi) != 0
    found = {}
    for axis, num in enumerate(gt.shape):
        at = np.flatnonzero(known.any(axis=tuple(a for a in range(gt.dims) if a != axis)))
        if len(at) and at[-1] + 1 - at[0] <= (1 - least) * num:
            found[axis] = int(at[0]), int(at[-1]) + 1
    return found


def _profiles(datasets: Sequence[Dataset]) -> tuple[tuple[float, ...], ...]:
    gt = datasets[0].gt
    if len(datasets) > 1 or prod(gt.shape) > _WHOLE:
        return ()
    held = (datasets[0].read_mask(gt.roi) != 0) & (datasets[0].read_gt(gt.roi) != 0)
    axes = range(gt.dims)
    return tuple(
        tuple(held.mean(axis=tuple(a for a in axes if a != axis)).tolist()) for axis in axes
    )


def _weighted_median(values: Floats, weights: Floats) -> float:
    if not len(values):
        return float("nan")
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, total[-1] / 2)])


def _percentiles(values: Floats) -> tuple[float, float, float]:
    if not len(values):
        return (float("nan"),) * 3
    low, middle, high = np.percentile(values, (10, 50, 90)).tolist()
    return low, middle, high
