"""Blockwise prediction."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any, Protocol

import numpy as np
import torch
from funlib.geometry import Coordinate, Roi

from dacapo.errors import InputError
from dacapo.experiments.architectures.architecture import Architecture
from dacapo.experiments.datasplits.datasets import Dataset
from dacapo.experiments.model import Model
from dacapo.experiments.train_state import TrainState
from dacapo.experiments.trainers.trainer import SampleShape, Trainer

Volume = np.ndarray[Any, np.dtype[np.float32]]


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
    return predict_region(run, dataset, dataset.gt.roi if roi is None else roi)


def predict_region(run: Network, raw: RawReader, roi: Roi) -> Volume:
    """The model's prediction for a region, independent of how it is cut into blocks.

    Args:
        roi: in world units, on the grid of the output.

    Returns:
        (C, *spatial) float32, after the model's eval activation. Raw context is read around the
        region.
    """
    voxel_size = run.sample_shape.output_voxel_size
    out = np.empty((run.model.num_out_channels, *(roi.shape / voxel_size)), np.float32)
    halo = run.architecture.halo * run.sample_shape.input_voxel_size
    run.model.eval()
    with run.train_state.using_ema(), torch.inference_mode():
        for block in _blocks(run, roi):
            prediction = _forward(run, raw, block.raw)
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


def predict_block(run: Network, dataset: Dataset, input_shape: Coordinate) -> Volume:
    """The prediction of one block of this shape around the middle of a dataset's labels."""
    voxel_size = run.sample_shape.input_voxel_size
    size = input_shape * voxel_size
    begin = (
        dataset.raw.offset
        + (dataset.gt.roi.center - dataset.raw.offset - size / 2) // (voxel_size) * voxel_size
    )
    run.model.eval()
    with run.train_state.using_ema(), torch.inference_mode():
        return _forward(run, dataset, Roi(begin, size)).cpu().numpy()


def _forward(run: Network, raw: RawReader, roi: Roi) -> torch.Tensor:
    """Predict from the raw in a region: (C, *spatial)."""
    values = torch.from_numpy(np.ascontiguousarray(raw.read_raw(roi)))
    return run.train_state.forward(values[None].to(run.trainer.device))[0]


@dataclass(frozen=True)
class _Block:
    """The raw to read for a block, and the slice of the whole region that its prediction covers."""

    raw: Roi
    begin: Coordinate
    end: Coordinate


def largest_block(run: Network) -> Coordinate:
    """The largest region that one block of a prediction covers, in world units.

    Raises:
        InputError: a block would cover nothing, or less than a period of the network.
    """
    shape, model = run.sample_shape, run.model
    halo = run.architecture.halo * shape.input_voxel_size
    _, output_shape = model.compute_output_shape(model.eval_input_shape)
    largest = output_shape * shape.output_voxel_size - halo * 2
    if min(largest) <= 0:
        raise InputError(
            f"architecture: the outer {list(run.architecture.halo)} voxels of a prediction are "
            f"not used, where padding is felt: architecture.input_shape + "
            f"architecture.eval_shape_increase must be more than twice that, and are "
            f"{list(model.eval_input_shape)}"
        )
    period = run.architecture.period * shape.input_voxel_size
    if run.architecture.window_dependent and any(
        limit < unit for limit, unit in zip(largest, period, strict=True)
    ):
        raise InputError(
            f"architecture: blocks must start at multiples of {list(run.architecture.period)} "
            f"voxels, but one of {list(model.eval_input_shape)} predicts fewer once its outer "
            f"{list(run.architecture.halo)} are left out: change architecture.halo, "
            f"architecture.period or architecture.input_shape"
        )
    return largest


def _blocks(run: Network, roi: Roi) -> Iterator[_Block]:
    """Blocks of one shape that cover a region and start at multiples of the network's period."""
    shape, model = run.sample_shape, run.model
    period = run.architecture.period * shape.input_voxel_size
    halo = run.architecture.halo * shape.input_voxel_size
    steps = []
    for size, limit, unit in zip(roi.shape, largest_block(run), period, strict=True):
        longest = max(limit // unit * unit, unit)
        count = math.ceil(size / longest)
        even = math.ceil(size / count / unit) * unit
        steps.append(longest if run.architecture.window_dependent else even)
    step = Coordinate(steps)
    input_shape = model.eval_input_shape
    if not run.architecture.window_dependent:
        needed = (step + halo * 2) / shape.output_voxel_size
        input_shape = run.architecture.smallest_input_shape(needed)
    _, output_shape = model.compute_output_shape(input_shape)
    input_size = input_shape * shape.input_voxel_size
    context = (input_size - output_shape * shape.output_voxel_size) / 2 + halo
    for index in product(*(range(math.ceil(r / s)) for r, s in zip(roi.shape, step, strict=True))):
        begin = Coordinate(index) * step
        end = Coordinate(map(min, begin + step, roi.shape))
        yield _Block(Roi(roi.begin + begin - context, input_size), begin, end)
