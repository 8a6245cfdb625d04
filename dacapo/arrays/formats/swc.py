"""Skeletons in SWC files (Cannon et al. 1998): each line is id, type, x, y, z, radius, parent."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dacapo.arrays.units import scale_of
from dacapo.errors import InputError
from dacapo.ops.run_length import Array, Skeletons

_NM = 1000  # world units, or thousandths of a pixel


def read_swc(path: Path, unit: str, key: str = "skeletons") -> Skeletons:
    """Read a file, or all .swc files of a folder; each tree is one skeleton.

    Args:
        path: coordinates are in `unit`, in the order x, y, z; they are returned as z, y, x.
        unit: nm, um, pixel...
        key: the config key that holds `path`, for messages.

    Raises:
        InputError: the file does not exist, or a line is not valid.
    """
    files = sorted(path.glob("*.swc")) if path.is_dir() else [path]
    if not files or not files[0].is_file():
        raise InputError(f"{key}={path}: no .swc file found")
    scale = scale_of(unit, key)
    parts = []
    num_nodes = num_skeletons = 0
    for file in files:
        skeleton, position, edges = _read(file, key)
        parts.append((skeleton + num_skeletons, position * scale, edges + num_nodes))
        num_nodes += len(position)
        num_skeletons += int(skeleton.max()) + 1
    skeleton, position, edges = (np.concatenate(p) for p in zip(*parts, strict=True))
    length = np.linalg.norm(position[edges[:, 0]] - position[edges[:, 1]], axis=1) / _NM
    return Skeletons(skeleton, position, edges, length)


def _read(file: Path, key: str) -> tuple[Array, Array, Array]:
    """Skeleton of each node, positions (z, y, x), edges."""
    try:
        rows = np.loadtxt(file, comments="#", ndmin=2)
    except (ValueError, OSError, UnicodeDecodeError) as error:
        raise InputError(f"{key}={file}: {error}") from error
    if rows.shape[0] == 0 or rows.shape[1] < 7:
        raise InputError(
            f"{key}={file}: seven numbers per line are expected, but the table has the "
            f"shape {rows.shape}"
        )
    place = {int(node): at for at, node in enumerate(rows[:, 0])}
    parents = rows[:, 6].astype(int).tolist()
    edges = [(at, place[p]) for at, p in enumerate(parents) if p in place]
    lost = [p for p in parents if p >= 0 and p not in place]
    if lost or len(place) < len(rows):
        raise InputError(
            f"{key}={file}: node {lost[0]} is named as a parent but is not in the file"
            if lost
            else f"{key}={file}: a node id occurs twice"
        )
    root = list(range(len(rows)))
    for child, parent in edges:
        root[_root(root, child)] = _root(root, parent)
    skeleton = np.unique([_root(root, at) for at in range(len(rows))], return_inverse=True)[1]
    return skeleton, rows[:, [4, 3, 2]], np.array(edges, np.int64).reshape(-1, 2)


def _root(root: list[int], node: int) -> int:
    while root[node] != node:
        root[node] = root[root[node]]
        node = root[node]
    return node
