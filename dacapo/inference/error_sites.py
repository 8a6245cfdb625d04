"""A ranked table of the places where a segmentation splits objects or merges them."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
from funlib.geometry import Coordinate, Roi

from dacapo.arrays import Array
from dacapo.arrays.units import from_world, symbol, to_world
from dacapo.errors import InputError
from dacapo.experiments.datasplits.datasets import Dataset, as_labels
from dacapo.ops.error_sites import Meetings, add_meetings, meetings
from dacapo.ops.overlap import Overlap, add_tables, overlap
from dacapo.processes.files import write_atomically

Voxels = np.ndarray[Any, np.dtype[Any]]
Progress = Callable[[str, int, int], None]
_KINDS = ("split", "merge")


@dataclass(frozen=True)
class Site:
    """A place where two parts meet.

    Attributes:
        kind: split: two segments in one object; merge: two objects in one segment.
        voxels: of the smaller of the two parts: how much would change hands.
        faces: of voxels at which they meet.
        inside: id of the object that is split, or of the segment that merges.
        first, second: ids of the parts.
        position: the centre of a voxel there, in world units.
    """

    kind: str
    voxels: int
    faces: int
    inside: int
    first: int
    second: int
    position: Coordinate


def find_sites(
    output: Array, dataset: Dataset, rois: Sequence[Roi], progress: Progress
) -> list[Site]:
    """All splits and merges of annotated objects, the largest first.

    Args:
        output: the segmentation, on the grid of the ground truth.
        rois: blocks that cover the ground truth.
    """
    splits, merges, tables = [], [], []
    size = dataset.gt.voxel_size
    for number, roi in enumerate(rois, start=1):
        window = roi.grow(size * 0, size).intersect(dataset.gt.roi)
        gt = dataset.read_gt(window)
        counted = dataset.read_mask(window)
        found = as_labels(output.read(window)).reshape(gt.shape)
        core = tuple(slice(0, n) for n in roi.shape / size)
        corner = (roi.begin - dataset.gt.roi.begin) / size
        splits.append(meetings(gt, found, counted, core, corner))
        merges.append(meetings(found, gt, counted, core, corner))
        tables.append(overlap(gt[core], found[core], counted[core]))
        progress("sites", number, len(rois))
    shared = _shared(add_tables(tables))
    sites = [
        *_sites("split", add_meetings(splits), dataset.gt, lambda i, part: shared[i, part]),
        *_sites("merge", add_meetings(merges), dataset.gt, lambda i, part: shared[part, i]),
    ]
    return sorted(sites, key=lambda site: (-site.voxels, -site.faces, site.kind, site.inside))


def _shared(table: Overlap) -> dict[tuple[int, int], int]:
    """(object, segment) -> voxels in both."""
    pairs = zip(
        table.ground_truth_ids[table.rows].tolist(),
        table.prediction_ids[table.columns].tolist(),
        strict=True,
    )
    return {
        (_unsigned(a), _unsigned(b)): int(n)
        for (a, b), n in zip(pairs, table.counts.tolist(), strict=True)
    }


def _unsigned(number: int) -> int:
    return number % 2**64


def _sites(
    kind: str, found: Meetings, gt: Array, voxels: Callable[[int, int], int]
) -> Iterator[Site]:
    columns = zip(found.ids.tolist(), found.faces.tolist(), found.position.tolist(), strict=True)
    for (inside, first, second), faces, place in columns:
        centre = gt.offset + Coordinate(place) * gt.voxel_size + gt.voxel_size / 2
        smaller = min(voxels(inside, first), voxels(inside, second))
        yield Site(kind, smaller, faces, inside, first, second, centre)


def write_sites(path: Path, sites: Sequence[Site], gt: Array) -> None:
    """Write a table, with positions in the unit of the ground truth."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    places = [f"{name.lstrip('-')}_{symbol(gt.unit)}" for name in gt.axis_names]
    writer.writerow(["kind", "voxels", "faces", "inside", "first", "second", *places])
    for s in sites:
        where = from_world(s.position, gt.unit)
        writer.writerow([s.kind, s.voxels, s.faces, s.inside, s.first, s.second, *where])
    write_atomically(path, text.getvalue().encode())


def read_sites(path: Path, key: str) -> list[Site]:
    """The inverse of `write_sites`.

    Raises:
        InputError: it is not such a table.
    """
    try:
        with path.open(newline="") as file:
            header, *rows = csv.reader(file)
        units = {name.partition("_")[2] for name in header[6:]}
        (unit,) = units
        return [_site(row, unit, key) for row in rows]
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(
            f"{key}={path} is not a table that dacapo.score sites= has written: {error}"
        ) from error


def _site(row: Sequence[str], unit: str, key: str) -> Site:
    kind = row[0]
    if kind not in _KINDS:
        raise ValueError(f"no kind {kind!r}")
    voxels, faces, inside, first, second = (int(number) for number in row[1:6])
    where = [float(value) for value in row[6:]]
    return Site(kind, voxels, faces, inside, first, second, to_world(where, unit, where, key))
