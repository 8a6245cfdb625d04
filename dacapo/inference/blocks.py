"""Blockwise prediction.

Where the network sees a limited surrounding of each voxel, blocks that leave out what padding
affects give exactly what one pass over the volume would give. Other networks, and those of which
too little would be left, are predicted in windows of the shape of training, which overlap on one
grid for the whole volume and are blended. Either way a voxel's prediction does not depend on the
region asked for.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from math import lcm
from typing import Any, Protocol

import numpy as np
import torch
from funlib.geometry import Coordinate, Roi

from dacapo.experiments.architectures.architecture import Architecture
from dacapo.experiments.datasplits.datasets import Dataset
from dacapo.experiments.model import Model
from dacapo.experiments.train_state import TrainState
from dacapo.experiments.trainers.trainer import SampleShape, Trainer
from dacapo.processes.prefetch import prefetch

Volume = np.ndarray[Any, np.dtype[np.float32]]

_HALF = Fraction(1, 2)


class Network(Protocol):
    """A model that can predict: a run, or what a run has left."""

    @property
    def model(self) -> Model: ...
    @property
    def architecture(self) -> Architecture: ...
    @property
    def train_state(self) -> TrainState: ...
    @property
    def trainer(self) -> Trainer: ...
    @property
    def sample_shape(self) -> SampleShape: ...


class RawReader(Protocol):
    """Reads normalised intensities."""

    def read_raw(self, roi: Roi) -> Volume: ...


def predict(run: Network, dataset: Dataset, roi: Roi | None = None) -> Volume:
    """The model's prediction for the labelled region of a dataset, or for a part of it; see
    `predict_region`."""
    return predict_region(run, dataset, dataset.gt.roi if roi is None else roi, dataset.raw.offset)


def predict_region(run: Network, raw: RawReader, roi: Roi, corner: Coordinate) -> Volume:
    """The model's prediction for a region, independent of how it is cut into blocks.

    Args:
        roi: in world units, on the grid of the output.
        corner: of the volume, from which windows are counted.

    Returns:
        (C, *spatial) float32, after the model's eval activation. Raw context is read around the
        region.
    """
    run.model.eval()
    with run.train_state.using_ema(), torch.inference_mode():
        if uses_windows(run):
            return _blended(run, raw, roi, corner)
        return _in_blocks(run, raw, roi)


def uses_windows(run: Network) -> bool:
    """Whether blended windows are needed, or cheaper than leaving out what padding affects."""
    output_shape = _output_shape(run, run.model.eval_input_shape)
    size = output_shape * run.sample_shape.output_voxel_size
    usable = largest_block(run)
    return run.architecture.window_dependent or any(
        2 * u < s for u, s in zip(usable, size, strict=True)
    )


def largest_block(run: Network) -> Coordinate:
    """The largest region that one pass predicts, in world units; not positive if there is none."""
    halo = run.architecture.halo * run.sample_shape.input_voxel_size
    output_shape = _output_shape(run, run.model.eval_input_shape)
    return output_shape * run.sample_shape.output_voxel_size - halo * 2


def window_stride(run: Network) -> Coordinate:
    """The distance of blended windows, in world units: a half of a window whose border is padded,
    otherwise three quarters."""
    shape = run.sample_shape
    size = _output_shape(run, run.model.input_shape) * shape.output_voxel_size
    steps = map(lcm, shape.input_voxel_size, shape.output_voxel_size)
    covered = run.model.input_shape * shape.input_voxel_size
    part = Fraction(3, 4) if all(s < c for s, c in zip(size, covered, strict=True)) else _HALF
    return Coordinate(
        max(step, int(s * part) // step * step) for s, step in zip(size, steps, strict=True)
    )


def _in_blocks(run: Network, raw: RawReader, roi: Roi) -> Volume:
    """Blocks side by side, without what padding affects."""
    voxel_size = run.sample_shape.output_voxel_size
    out = np.empty((run.model.num_out_channels, *(roi.shape / voxel_size)), np.float32)
    halo = run.architecture.halo * run.sample_shape.input_voxel_size
    blocks = list(_blocks(run, roi))
    for block, prediction in zip(blocks, _forwards(run, raw, [b.raw for b in blocks]), strict=True):
        place = [
            slice(b // v, e // v)
            for b, e, v in zip(block.begin, block.end, voxel_size, strict=True)
        ]
        size = [
            slice(h // v, h // v + p.stop - p.start)
            for h, v, p in zip(halo, voxel_size, place, strict=True)
        ]
        out[:, *place] = prediction[:, *size].cpu().numpy()
    return out


def _blended(run: Network, raw: RawReader, roi: Roi, corner: Coordinate) -> Volume:
    """The mean of all windows that see a voxel, weighted by a Gaussian. Isensee et al. 2021.

    Windows lie on one endless grid, so that those at the border of the volume are blended as well.
    """
    shape = run.sample_shape
    voxel_size, stride = shape.output_voxel_size, window_stride(run)
    window = _output_shape(run, run.model.input_shape)
    size, read = window * voxel_size, run.model.input_shape * shape.input_voxel_size
    # The phase in which the grid of the output is shifted against that of raw.
    first = roi.begin - corner - (roi.begin - corner) % voxel_size
    numbers = [
        range(-(-(f - s + 1) // d), -(-(f + n) // d))
        for f, s, d, n in zip(first, size, stride, roi.shape, strict=True)
    ]
    extent = roi.shape / voxel_size
    total = np.zeros((run.model.num_out_channels, *extent), np.float32)
    weight = np.zeros(extent, np.float32)
    gaussian = _gaussian(window)
    begins = [Coordinate(number) * stride - first for number in product(*numbers)]
    context = (read - size) / 2
    rois = [Roi(roi.begin + begin - context, read) for begin in begins]
    for begin, prediction in zip(begins, _forwards(run, raw, rois), strict=True):
        at = begin / voxel_size
        place = tuple(
            slice(max(a, 0), min(a + w, e)) for a, w, e in zip(at, window, extent, strict=True)
        )
        inner = tuple(slice(p.start - a, p.stop - a) for p, a in zip(place, at, strict=True))
        weight[place] += gaussian[inner]
        total[(slice(None), *place)] += (
            prediction[(slice(None), *inner)].cpu().numpy() * gaussian[inner]
        )
    total /= weight
    return total


def _gaussian(shape: Coordinate) -> Volume:
    """The weight of each voxel of a window, with a standard deviation of an eighth of its edge."""
    out = np.ones((), np.float32)
    for n in shape:
        distance = (np.arange(n) - (n - 1) / 2) / (n / 8)
        out = out[..., None] * np.exp(-0.5 * distance**2).astype(np.float32)
    return out


def _output_shape(run: Network, input_shape: Coordinate) -> Coordinate:
    return run.model.compute_output_shape(input_shape)[1]


def _forwards(run: Network, raw: RawReader, rois: Sequence[Roi]) -> Iterator[torch.Tensor]:
    """Predict from the raw in each region: (C, *spatial); the next is read in the meantime."""

    def read(number: int) -> torch.Tensor:
        values = torch.from_numpy(np.ascontiguousarray(raw.read_raw(rois[number])))[None]
        return values.pin_memory() if run.trainer.device.type == "cuda" else values

    for values in prefetch(read, 0, len(rois), 1):
        yield run.train_state.forward(values.to(run.trainer.device, non_blocking=True))[0]


@dataclass(frozen=True)
class _Block:
    """The raw to read for a block, and the slice of the whole region that its prediction covers."""

    raw: Roi
    begin: Coordinate
    end: Coordinate


def _blocks(run: Network, roi: Roi) -> Iterator[_Block]:
    """Blocks of one shape that cover a region and start at multiples of the network's period."""
    shape = run.sample_shape
    period = run.architecture.period * shape.input_voxel_size
    halo = run.architecture.halo * shape.input_voxel_size
    steps = []
    for size, limit, unit in zip(roi.shape, largest_block(run), period, strict=True):
        longest = max(limit // unit * unit, unit)
        count = math.ceil(size / longest)
        steps.append(math.ceil(size / count / unit) * unit)
    step = Coordinate(steps)
    needed = (step + halo * 2) / shape.output_voxel_size
    input_shape = run.architecture.smallest_input_shape(needed)
    output_shape = _output_shape(run, input_shape)
    input_size = input_shape * shape.input_voxel_size
    context = (input_size - output_shape * shape.output_voxel_size) / 2 + halo
    for index in product(*(range(math.ceil(r / s)) for r, s in zip(roi.shape, step, strict=True))):
        begin = Coordinate(index) * step
        end = Coordinate(map(min, begin + step, roi.shape))
        yield _Block(Roi(roi.begin + begin - context, input_size), begin, end)
