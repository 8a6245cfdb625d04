"""A page of sections through volumes, where neuroglancer cannot be opened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

import numpy as np
from funlib.geometry import Coordinate, Roi

from dacapo.arrays import Array
from dacapo.arrays.units import from_world, in_nm
from dacapo.errors import InputError
from dacapo.figures.colours import distinct_colours, grey_image, matching_numbers, overlay
from dacapo.figures.html import HtmlFigure, Section, html_page
from dacapo.figures.neuroglancer import Layer, Point
from dacapo.ops.resize import nearest

_MAX_EDGE = 400
_MAX_PLACES = 6
"""Of each kind."""
_ARM = 6
"""Of the cross at a place, in pixels."""
Image = np.ndarray[Any, np.dtype[Any]]


def volume_page(layers: Sequence[Layer], points: Mapping[str, Sequence[Point]]) -> str:
    """The page: a section along each axis through the places to look at, or through the middle.

    Args:
        layers: volumes that overlap; they may be larger than memory.
        points: name of a layer -> its places, in order of importance.

    Raises:
        InputError: the volumes do not overlap.
    """
    common = reduce(Roi.intersect, (layer.array.roi for layer in layers))
    first = layers[0].array
    whole = common.snap_to_grid(first.voxel_size, mode="shrink") if not common.empty else common
    if whole.empty:
        raise InputError(f"{' and '.join(layer.array.name for layer in layers)} do not overlap")
    places = {
        f"{name}: {point.text}": _voxel_at(point.position, first, whole)
        for name, own in points.items()
        for point in own[:_MAX_PLACES]
    }
    centre = whole.begin + (whole.shape / first.voxel_size / 2) * first.voxel_size
    sections = []
    for title, place in (places or {"the middle": centre}).items():
        axes = range(first.dims if first.dims == 3 else 1)
        groups = [_figures(layers, whole, place, axis) for axis in axes]
        sections.append(Section(title, [_position(place, first)], groups))
    intro = ", ".join(layer.array.name for layer in layers)
    for name, own in points.items():
        if len(own) > _MAX_PLACES:
            intro += f"; the first {_MAX_PLACES} of {len(own)} {name}"
    return html_page("Volumes", sections, intro=intro)


def _voxel_at(position: Sequence[float], array: Array, within: Roi) -> Coordinate:
    """The corner of the voxel at a position in nm, or of the nearest one within a region."""
    corner, size = in_nm(array.offset), in_nm(array.voxel_size)
    index = Coordinate(int((p - c) // s) for p, c, s in zip(position, corner, size, strict=True))
    place = array.offset + index * array.voxel_size
    last = within.end - array.voxel_size
    return Coordinate(map(max, within.begin, map(min, last, place)))


def _position(place: Coordinate, array: Array) -> str:
    names = [name.lstrip("-") for name in array.axis_names]
    each = zip(names, from_world(place, array.unit), strict=True)
    return ", ".join(f"{name} = {value:g} {array.unit}" for name, value in each)


def _figures(
    layers: Sequence[Layer], whole: Roi, place: Coordinate, across: int
) -> list[HtmlFigure]:
    """A section through a place, a figure per layer.

    Labels are drawn over raw if there is raw. Segments have the colours of the objects that they
    match best, so that errors stand out.
    """
    first = layers[0].array
    size = first.voxel_size
    kept = [axis for axis in range(first.dims) if first.dims == 2 or axis != across]
    edge = [_MAX_EDGE if axis in kept else 1 for axis in range(first.dims)]
    shape = Coordinate(map(min, edge, whole.shape / size))
    lowest = place - shape / 2 * size
    begin = Coordinate(map(max, whole.begin, map(min, lowest, whole.end - shape * size)))
    roi = Roi(begin, shape * size)
    names = " and ".join(first.axis_names[axis].lstrip("-") for axis in kept)
    pixel: Any = tuple(from_world(size, first.unit)[axis] for axis in kept)
    plane = tuple(shape[axis] for axis in kept)
    read = {layer.name: _read(layer.array, roi, shape).reshape(-1, *plane) for layer in layers}
    codes = _numbers({layer.name: read[layer.name][0] for layer in layers if layer.low is None})
    palette = distinct_colours(list(codes.values())) if codes else np.zeros((1, 3))
    grey = np.full((*plane, 3), 0.5)
    row, column = ((place - begin) / size)[kept[0]], ((place - begin) / size)[kept[1]]
    found = []
    for layer in layers:
        values = read[layer.name]
        if layer.low is None or layer.high is None:
            image = overlay(grey, codes[layer.name], palette)
        elif layer.name == "raw":
            image = grey = grey_image(values[0], (layer.low, layer.high))
        else:
            image = _colours(values, layer.low, layer.high)
        marked = _with_cross(image, row, column)
        found.append(HtmlFigure(marked, f"{layer.name}, {names}", pixel, first.unit))
    return found


def _numbers(labels: Mapping[str, Image]) -> dict[str, Image]:
    """Labels as numbers for a palette; those of one that matches another are the same."""
    if len(labels) < 2:
        return {name: matching_numbers(ids, ids * 0)[0] for name, ids in labels.items()}
    (one, gt), (other, segmentation) = labels.items()
    objects, segments = matching_numbers(gt, segmentation)
    return {one: objects, other: segments}


def _with_cross(image: Image, row: int, column: int) -> Image:
    """An image with a cross around a pixel, which stays visible."""
    image = image.copy()
    for at in (*range(-_ARM, -1), *range(2, _ARM + 1)):
        for y, x in ((row + at, column), (row, column + at)):
            if 0 <= y < image.shape[0] and 0 <= x < image.shape[1]:
                image[y, x] = 1.0
    return image


def _read(array: Array, roi: Roi, shape: Sequence[int]) -> Image:
    """A part of a volume, (C, *shape), on the grid of another one."""
    values = array.read(array.covering(roi))
    channels = values.reshape(-1, *values.shape[values.ndim - array.dims :])
    return np.stack([nearest(channel, shape) for channel in channels])


def _colours(values: Image, low: float, high: float) -> Image:
    """Up to three channels as red, green and blue."""
    scaled = np.clip((values[:3].astype(np.float32) - low) / ((high - low) or 1), 0, 1)
    if len(scaled) == 1:
        return np.repeat(scaled[0][..., None], 3, axis=-1)
    black = np.zeros((3 - len(scaled), *scaled.shape[1:]), np.float32)
    return np.moveaxis(np.concatenate([scaled, black]), 0, -1)
