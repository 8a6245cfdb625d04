"""The prediction of a model for a volume, as an array that is computed where it is read."""

from __future__ import annotations

from math import lcm

import numpy as np
from funlib.geometry import Coordinate, Roi

from dacapo.arrays import Array
from dacapo.arrays.units import from_world, is_pixel
from dacapo.arrays.views import lazy
from dacapo.errors import InputError
from dacapo.experiments.datasplits.datasets.dataset import NormalizedRaw
from dacapo.inference.blocks import largest_block, predict_region, uses_windows, window_stride
from dacapo.inference.trained import TrainedModel

_MAX_CHUNKS = 8
_MAX_BLOCK = 384**3
"""Voxels in a block."""


def predicted(model: TrainedModel, volume: NormalizedRaw, roi: Roi | None = None) -> Array:
    """The prediction (C, *spatial) for a region of a volume, float32.

    Args:
        roi: in world units; default: all of the volume.

    Raises:
        InputError: the volume does not fit the model.
    """
    check_fits(model, volume)
    size = model.sample_shape.output_voxel_size
    whole = roi or volume.raw.roi
    shape = whole.shape / size
    if min(shape) < 1 or shape * size != whole.shape:
        raise InputError(
            f"{volume.raw.name}: {from_world(whole.shape, volume.raw.unit)} {volume.raw.unit} are "
            f"not whole voxels of the model, {from_world(size, volume.raw.unit)}"
        )
    corner = volume.raw.offset
    off = (whole.offset - corner) % size
    if any(off):
        raise InputError(
            f"region: it begins {from_world(off, volume.raw.unit)} {volume.raw.unit} behind a "
            f"voxel of the model, {from_world(size, volume.raw.unit)}: begin at "
            f"{from_world(whole.offset - off, volume.raw.unit)}"
        )
    channels = (model.model.num_out_channels,)
    period = _period(model)

    def read(region: Roi) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        if uses_windows(model):
            return predict_region(model, volume, region, corner)
        # From a multiple of the period on, counted from the corner of the volume: then a voxel's
        # prediction does not depend on the region, nor on the block, in which it is computed.
        shifted = Roi(region.offset - corner, region.shape)
        aligned = shifted.snap_to_grid(period, mode="grow")
        begin = (shifted.offset - aligned.offset) / size
        part = tuple(slice(b, b + n) for b, n in zip(begin, region.shape / size, strict=True))
        whole = Roi(aligned.offset + corner, aligned.shape)
        found = predict_region(model, volume, whole, corner)
        return np.ascontiguousarray(found[:, *part])

    return lazy(volume.raw, whole, channels, np.float32, read, size)


def check_fits(model: TrainedModel, volume: NormalizedRaw) -> None:
    """Refuse a volume with other axes, channels or voxels than the model was trained on."""
    raw, size = volume.raw, model.sample_shape.input_voxel_size
    if raw.dims != size.dims:
        raise InputError(f"{raw.name} has {raw.dims} axes, and the model {size.dims}")
    if volume.num_channels != model.model.num_in_channels:
        raise InputError(
            f"{raw.name} has {volume.num_channels} channels, and the model takes "
            f"{model.model.num_in_channels}"
        )
    if is_pixel(raw.unit) != is_pixel(model.saved.unit):
        raise InputError(
            f"{raw.name} is measured in {raw.unit}, and the model was trained on voxels of "
            f"{from_world(size, model.saved.unit)} {model.saved.unit}: set voxel_size and unit"
        )
    if raw.voxel_size != size:
        factors = [f"{r / s:.3g}" for r, s in zip(raw.voxel_size, size, strict=True)]
        raise InputError(
            f"{raw.name} has voxels of {from_world(raw.voxel_size, raw.unit)} {raw.unit}, and the "
            f"model was trained on {from_world(size, raw.unit)}, a factor of "
            f"{', '.join(factors)}: resample=true resamples it"
        )


def block_edge(model: TrainedModel, wanted: int) -> int:
    """An edge for blocks of the output, in voxels, near a wanted one: a multiple of the network's
    period, so that a prediction does not depend on the blocks."""
    if uses_windows(model):
        return wanted
    steps = _period(model) / model.sample_shape.output_voxel_size
    unit = int(np.lcm.reduce(steps))
    return max(unit, round(wanted / unit) * unit)


def _period(model: TrainedModel) -> Coordinate:
    """The network's period in world units, in whole voxels of its output."""
    shape = model.sample_shape
    period = model.architecture.period * shape.input_voxel_size
    return Coordinate(map(lcm, period, shape.output_voxel_size))


def efficient_edge(model: TrainedModel, chunk: int) -> int:
    """The edge of blocks, a multiple of a chunk, for which the network computes the least twice.

    Neighbouring passes overlap by the context of the network, so a block is predicted best by a
    whole number of large ones.
    """
    step = window_stride(model) if uses_windows(model) else largest_block(model)
    limit = int(min(step / model.sample_shape.output_voxel_size))
    edges = [n * chunk for n in range(1, _MAX_CHUNKS + 1)]
    allowed = [e for e in edges if e**model.sample_shape.output_voxel_size.dims <= _MAX_BLOCK]

    def overlap(edge: int) -> float:
        count = -(-edge // limit) + uses_windows(model)  # a window more lies across each face
        return count * limit / edge

    return min(allowed or edges[:1], key=lambda edge: (round(overlap(edge), 2), edge))
