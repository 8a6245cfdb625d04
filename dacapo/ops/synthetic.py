"""Synthetic tissue: dense, branching cells with membranes and organelles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from edt import edt
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

Volume = np.ndarray[Any, np.dtype[Any]]

_SEEDS_PER_CELL = 6.0
_NEIGHBOURS = 8


@dataclass(frozen=True)
class Tissue:
    """Raw and labels of a block of tissue, as arrays of one shape.

    Attributes:
        raw: uint8.
        cells: uint32, from 1.
        border: distance to the nearest other cell, in voxels of the finest axis.
        bodies: mask of the dark round bodies in the cells.
    """

    raw: Volume
    cells: Volume
    border: Volume
    bodies: Volume

    def apart(self, gap: float) -> Volume:
        """Cells with background between them, which takes half of `gap` from each cell."""
        return np.where(self.border > gap / 2, self.cells, np.zeros((), self.cells.dtype))

    def classes(self) -> Volume:
        """1 in membranes, 2 in bodies, 0 elsewhere."""
        return np.where(self.border <= 1, 1, np.where(self.bodies, 2, 0)).astype(np.uint8)


def tissue(
    shape: Sequence[int],
    voxel_size: Sequence[float],
    cell_size: float,
    noise: float,
    seed: Sequence[int],
    body_threshold: float = 1.7,
) -> Tissue:
    """Generate raw and labels of a block of tissue in which every voxel belongs to a cell.

    A cell is a chain of neighbouring Voronoi regions of points in a warped space, so that cells
    bend, branch and differ in size. The border between cells is a membrane of varying darkness.

    Args:
        shape: in voxels, 2D or 3D.
        voxel_size: relative edge lengths of a voxel; the finest is the unit of `cell_size`.
        cell_size: typical width of a cell.
        noise: standard deviation of the noise, where raw spans 0 to 1.
        seed: equal seeds give equal tissue.
        body_threshold: bodies are where a random field of mean 0 and deviation 1 exceeds this
            value.
    """
    rng = np.random.default_rng(list(seed))
    step = np.asarray(voxel_size, float) / min(voxel_size)
    extent = np.asarray(shape) * step
    points = _points(extent, cell_size, rng)
    cells = _chains(points, cell_size, rng)
    axes = [np.arange(n, dtype=np.float32) * s for n, s in zip(shape, step, strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1)
    for axis in range(len(shape)):
        grid[..., axis] += 0.35 * cell_size * _smooth(shape, step, cell_size, rng)
    nearest = cKDTree(points).query(grid.reshape(-1, len(shape)), workers=-1)[1]
    labels = cells[nearest].reshape(shape)
    border = edt(labels.astype(np.uint32) + 1, anisotropy=tuple(step)) - 0.5
    raw, bodies = _paint(border, labels, step, cell_size, body_threshold, rng)
    raw += noise * gaussian_filter(rng.normal(size=shape), 0.5) / 0.55
    present = np.unique(labels)
    compact = np.searchsorted(present, labels).astype(np.uint32) + 1
    return Tissue((np.clip(raw, 0, 1) * 255).astype(np.uint8), compact, border, bodies)


def _paint(
    border: Volume,
    labels: Volume,
    step: Volume,
    cell_size: float,
    body_threshold: float,
    rng: np.random.Generator,
) -> tuple[Volume, Volume]:
    """Grey values in [0, 1] of cytoplasm, membranes and bodies, and the mask of bodies."""
    shape = border.shape
    tone = rng.normal(0.66, 0.05, int(labels.max()) + 1)[labels]
    texture = 0.05 * gaussian_filter(rng.normal(size=shape), 1.2 / step) / 0.1
    raw = tone + 0.3 * texture
    # Dark round bodies with a light core, away from membranes.
    bodies = _smooth(shape, step, cell_size / 6, rng)
    deep = border > 3
    inside = deep & (bodies > body_threshold)
    raw = np.where(inside, raw - 0.22, raw)
    raw = np.where(deep & (bodies > body_threshold + 0.7), raw + 0.14, raw)
    contrast = 0.4 + 0.1 * np.clip(_smooth(shape, step, 2 * cell_size, rng), -2, 2)
    raw -= contrast * np.exp(-(border**2))
    return gaussian_filter(raw, 0.6 / step), inside


def _points(extent: Volume, cell_size: float, rng: np.random.Generator) -> Volume:
    """Random points at the density that gives cells of the requested width."""
    margin = cell_size
    volume = float(np.prod(extent + 2 * margin))
    spacing = cell_size / _SEEDS_PER_CELL ** (1 / (len(extent) + 1))
    count = max(_NEIGHBOURS + 1, int(volume / spacing ** len(extent)))
    return rng.uniform(-margin, extent + margin, (count, len(extent)))


def _chains(points: Volume, cell_size: float, rng: np.random.Generator) -> Volume:
    """Join neighbouring points into cells of various lengths; returns the cell of each point."""
    found = cKDTree(points).query(points, k=min(_NEIGHBOURS, len(points)))[1]
    neighbours = np.asarray(found)
    cell = np.full(len(points), -1)
    for count, start in enumerate(rng.permutation(len(points))):
        if cell[start] >= 0:
            continue
        cell[start], at = count, start
        for _ in range(int(rng.geometric(1 / _SEEDS_PER_CELL)) - 1):
            free = [n for n in neighbours[at][1:] if cell[n] < 0]
            if not free:
                break
            at = rng.choice(free)
            cell[at] = count
    return cell


def _smooth(shape: Sequence[int], step: Volume, width: float, rng: np.random.Generator) -> Volume:
    """A random field with correlation length `width`, mean 0 and standard deviation 1.

    Random numbers on a coarse grid, interpolated by cubic B-splines along one axis at a time.
    """
    splines = []
    for size, edge in zip(shape, step, strict=True):
        place = np.arange(size) * edge / width + 1
        control_points = np.arange(int(place[-1]) + 3)
        splines.append(_cubic_b_spline(place[:, None] - control_points).astype(np.float32))
    field = rng.normal(size=[s.shape[1] for s in splines]).astype(np.float32)
    for axis, spline in enumerate(splines):
        field = np.moveaxis(np.tensordot(spline, field, (1, axis)), 0, axis)
    return np.asarray((field - field.mean()) / field.std())


def _cubic_b_spline(t: Volume) -> Volume:
    t = np.abs(t)
    inner, outer = 2 / 3 - t**2 + t**3 / 2, np.clip(2 - t, 0, None) ** 3 / 6
    return np.where(t < 1, inner, outer)
