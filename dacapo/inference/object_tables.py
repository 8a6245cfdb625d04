"""Tables of the objects of a segmentation, and of those that touch."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import fields
from importlib.util import find_spec
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from dacapo.arrays.array import Array
from dacapo.arrays.kept import KeptBlocks
from dacapo.arrays.units import from_world, is_pixel, symbol
from dacapo.errors import InputError
from dacapo.inference.instances import Grid, load_arrays, save_arrays
from dacapo.ops.objects import Objects, combine, measure
from dacapo.ops.region_graph import Edges
from dacapo.processes.files import temporary_name, writing

_ROWS = 100_000
Column = np.ndarray[Any, np.dtype[Any]]


def table_names(output: Path, makes: str, form: str = "csv") -> tuple[str, ...]:
    """The names of the tables of a segmentation: of its objects or classes, and of contacts.

    >>> table_names(Path("a/cells.ome.zarr"), "objects")
    ('cells.objects.csv', 'cells.contacts.csv')

    Args:
        form: csv or parquet.

    Raises:
        InputError: parquet needs a package that is not installed.
    """
    if form == "parquet" and find_spec("pyarrow") is None:
        raise InputError("tables=parquet needs pyarrow: pip install 'dacapo[parquet]'")
    name = output.name.removesuffix(".zarr").removesuffix(".ome")
    return () if makes == "masks" else (f"{name}.{makes}.{form}", f"{name}.contacts.{form}")


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
    _write_table(objects, _object_columns(every, labels, size))
    pairs, area = every.contacts.pairs, every.contacts.columns["area"]
    both = pairs[:, 0] != 0  # the smaller id is background
    first, second = pairs[both].T
    shared = f"{'length' if labels.dims == 2 else 'area'}_{_power(labels, 'area')}"
    _write_table(contacts, {"first": first, "second": second, shared: area[both]})


def _object_columns(every: Objects, labels: Array, size: Sequence[float]) -> dict[str, Column]:
    """The columns, of all objects but background."""
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
    return {name: column[own] for name, column in zip(header, columns, strict=True)}


def _power(labels: Array, kind: str) -> str:
    """The unit of a length, of a face or of a voxel, as in nm3."""
    unit = "px" if is_pixel(labels.unit) else symbol(labels.unit)
    power = {"length": 1, "area": labels.dims - 1, "volume": labels.dims}[kind]
    return unit if power == 1 else f"{unit}{power}"


def _write_table(path: Path, columns: Mapping[str, Column]) -> None:
    """Write a table; it has its name when it is complete."""
    write = _write_parquet if path.suffix == ".parquet" else _write_csv
    temporary = temporary_name(path)
    with writing(path):
        write(temporary, columns)
        temporary.replace(path)


def _write_csv(path: Path, columns: Mapping[str, Column]) -> None:
    num = len(next(iter(columns.values())))
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        for begin in range(0, num, _ROWS):  # a column as Python's numbers would need much memory
            part = [column[begin : begin + _ROWS].tolist() for column in columns.values()]
            for row in zip(*part, strict=True):
                writer.writerow([f"{v:.10g}" if isinstance(v, float) else v for v in row])


def _write_parquet(path: Path, columns: Mapping[str, Column]) -> None:
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.table(dict(columns)), path)


def _save(path: Path, found: Objects) -> None:
    plain = {f.name: getattr(found, f.name) for f in fields(found) if f.name != "contacts"}
    save_arrays(path, {**plain, "pairs": found.contacts.pairs, **found.contacts.columns})


def _load(path: Path) -> Objects:
    found = dict(load_arrays(path))
    contacts = Edges(found.pop("pairs"), {"area": found.pop("area")})
    return Objects(**found, contacts=contacts)
