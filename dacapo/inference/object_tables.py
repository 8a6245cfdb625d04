"""Tables of the objects of a segmentation, and of those that touch."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import fields
from io import StringIO
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from dacapo.arrays.array import Array
from dacapo.arrays.kept import KeptBlocks
from dacapo.arrays.units import from_world, is_pixel, symbol
from dacapo.inference.instances import Grid, load_arrays, save_arrays
from dacapo.ops.objects import Objects, combine, measure
from dacapo.ops.region_graph import Edges
from dacapo.processes.files import write_atomically


def table_names(output: Path, makes: str) -> tuple[str, ...]:
    """The names of the tables of a segmentation: of its objects or classes, and of contacts.

    >>> table_names(Path("a/cells.ome.zarr"), "objects")
    ('cells.objects.csv', 'cells.contacts.csv')
    """
    name = output.name.removesuffix(".zarr").removesuffix(".ome")
    return () if makes == "masks" else (f"{name}.{makes}.csv", f"{name}.contacts.csv")


def write_tables(
    labels: Array, grid: Grid, names: Sequence[str], folder: Path, blocks: KeptBlocks
) -> None:
    """Write tables of the objects and of those that touch, to lie beside a segmentation.

    Args:
        labels: (*spatial) ids, 0 for background.
        names: see `table_names`.
        folder: for what is kept on the way.
        blocks: knows which blocks are measured.
    """
    size = from_world(labels.voxel_size, labels.unit)
    areas = [prod(s for a, s in enumerate(size) if a != axis) for axis in range(labels.dims)]
    for start in blocks.missing("objects", grid.starts()):
        core = grid.core(start)
        window = grid.window(core, [0] * len(core), [1] * len(core))
        inner = tuple(slice(0, c.stop - c.start) for c in core)
        found = measure(np.asarray(labels.source[window]), inner, start, areas)
        _save(folder / ("_".join(map(str, start)) + ".npz"), found)
        blocks.add("objects", start)
    every = combine(_load(folder / ("_".join(map(str, start)) + ".npz")) for start in grid.starts())
    objects, contacts = (blocks.beside / name for name in names)
    _write_csv(objects, *_object_rows(every, labels, size))
    pairs, area = every.contacts.pairs, every.contacts.columns["area"]
    both = pairs[:, 0] != 0  # the smaller id is background
    rows = zip(*pairs[both].T.tolist(), area[both].tolist(), strict=True)
    shared = "length" if labels.dims == 2 else "area"
    _write_csv(contacts, ["first", "second", f"{shared}_{_power(labels, 'area')}"], rows)


def _object_rows(
    every: Objects, labels: Array, size: Sequence[float]
) -> tuple[list[str], Iterable[Sequence[Any]]]:
    """The header and the rows, of all objects but background."""
    unit, names = _power(labels, "length"), [n.lstrip("-") for n in labels.axis_names]
    corner = np.array(from_world(labels.offset, labels.unit))
    step = np.array(size)
    own = every.ids != 0
    centre = corner + (every.sums / every.voxels[:, None] + 0.5) * step
    content, border = ("area", "perimeter") if labels.dims == 2 else ("volume", "surface")
    header = ["id", "voxels", f"{content}_{_power(labels, 'volume')}"]
    header += [f"{n}_{unit}" for n in names]
    header += [f"{n}_{side}_{unit}" for side in ("begin", "end") for n in names]
    header += [f"{border}_{_power(labels, 'area')}"]
    columns = [
        every.ids, every.voxels, every.voxels * prod(size), *centre.T,
        *(corner + every.begin * step).T, *(corner + every.end * step).T, every.surface(),
    ]  # fmt: skip
    return header, zip(*(column[own].tolist() for column in columns), strict=True)


def _power(labels: Array, kind: str) -> str:
    """The unit of a length, of a face or of a voxel, as in nm3."""
    unit = "px" if is_pixel(labels.unit) else symbol(labels.unit)
    power = {"length": 1, "area": labels.dims - 1, "volume": labels.dims}[kind]
    return unit if power == 1 else f"{unit}{power}"


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([f"{v:.10g}" if isinstance(v, float) else v for v in row] for row in rows)
    write_atomically(path, text.getvalue().encode())


def _save(path: Path, found: Objects) -> None:
    plain = {f.name: getattr(found, f.name) for f in fields(found) if f.name != "contacts"}
    save_arrays(path, {**plain, "pairs": found.contacts.pairs, **found.contacts.columns})


def _load(path: Path) -> Objects:
    found = dict(load_arrays(path))
    contacts = Edges(found.pop("pairs"), {"area": found.pop("area")})
    return Objects(**found, contacts=contacts)
