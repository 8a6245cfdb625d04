"""The mean of predictions: of mirror images of a volume, and of several models."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, combinations
from math import lcm
from typing import Any

import numpy as np
from funlib.geometry import Coordinate, Roi

from dacapo.arrays import Array
from dacapo.arrays.views import flipped, lazy
from dacapo.config import encode
from dacapo.errors import InputError
from dacapo.experiments.datasplits.datasets.dataset import NormalizedRaw
from dacapo.experiments.tasks.predictors import MirroredChannel
from dacapo.inference.predicted import predicted
from dacapo.inference.trained import TrainedModel

_NOT_MEANING = (
    "criterion", "post_processor", "ignore_smaller", "iou_thresholds", "run_length", "tolerance",
    "clip_distance", "max_class_weight", "lsd_weight", "boundary_weight", "distance_weight",
)  # fmt: skip
"""Options of tasks that change how is trained, segmented or scored, not what is predicted."""

Volume = np.ndarray[tuple[int, ...], np.dtype[np.float32]]


def averaged(
    models: Sequence[TrainedModel],
    volumes: Sequence[NormalizedRaw],
    roi: Roi | None = None,
    mirror: bool = False,
) -> Array:
    """The mean prediction (C, *spatial) of several models, float32; see `predicted`.

    Args:
        volumes: the same one for each model, with intensities as it expects them.
        roi: in world units; default: all of the volume.
        mirror: also predict the volume mirrored along each set of axes (Isensee et al. 2021). A
            channel counts where its mirrored counterpart was predicted.

    Raises:
        InputError: the volume does not fit a model, or the models do not predict the same.
    """
    _check_same(models)
    pairs = list(zip(models, volumes, strict=True))
    first, *more = [predicted(model, volume, roi) for model, volume in pairs]
    if not more and not mirror:
        return first
    in_place = [MirroredChannel(channel) for channel in range(first.channel_shape[0])]
    parts = [_Part(prediction, (), in_place) for prediction in (first, *more)]
    if mirror:
        parts += chain.from_iterable(_mirror_images(model, volume) for model, volume in pairs)

    def read(region: Roi) -> Volume:
        total = np.zeros((*first.channel_shape, *(region.shape / first.voxel_size)), np.float32)
        count = np.zeros_like(total)
        for part in parts:
            part.add(region, total, count)
        total /= count
        return total

    return lazy(first, first.roi, first.channel_shape, np.float32, read)


@dataclass(frozen=True)
class _Part:
    """One of the predictions that are averaged.

    Attributes:
        prediction: of a volume that is mirrored along `axes`.
        channels: where to find each channel of the mean in it, see `MirroredChannel`.
    """

    prediction: Array
    axes: tuple[int, ...]
    channels: Sequence[MirroredChannel | None]

    def add(self, region: Roi, total: Volume, count: Volume) -> None:
        """Add what is predicted for a region, and count it."""
        size = self.prediction.voxel_size
        shifts = [self._shift(c) for c in self.channels if c is not None]
        below = Coordinate(map(min, *shifts, size * 0))
        above = Coordinate(map(max, *shifts, size * 0))
        read = region.grow(-below, above).intersect(self.prediction.roi)
        spatial = tuple(1 + axis for axis in self.axes)
        values = np.flip(self.prediction.read(self._mirror(read)), spatial)
        for number, channel in enumerate(self.channels):
            if channel is None:
                continue
            shift = self._shift(channel)
            here = region.intersect(read - shift)
            if here.empty:
                continue
            found = values[channel.channel][_within(here + shift, read, size)]
            place = _within(here, region, size)
            total[number][place] += 1 - found if channel.complement else found
            count[number][place] += 1

    def _shift(self, channel: MirroredChannel) -> Coordinate:
        size = self.prediction.voxel_size
        return Coordinate(channel.shift) * size if channel.shift else size * 0

    def _mirror(self, region: Roi) -> Roi:
        """A region where it lies in the mirrored volume."""
        whole = self.prediction.roi
        begin = [
            low + high - end if axis in self.axes else begin
            for axis, (low, high, begin, end) in enumerate(
                zip(whole.begin, whole.end, region.begin, region.end, strict=True)
            )
        ]
        return Roi(begin, region.shape)


def _mirror_images(model: TrainedModel, volume: NormalizedRaw) -> Iterator[_Part]:
    """The predictions of all mirror images of a volume."""
    shape = model.sample_shape
    steps = map(lcm, shape.input_voxel_size, shape.output_voxel_size)
    # Whole voxels of the output: mirrored, they lie on the same grid.
    extent = Coordinate(
        n // step * step for n, step in zip(volume.raw.roi.shape, steps, strict=True)
    )
    raw = volume.raw.crop(Roi(volume.raw.offset, extent))
    axes = range(raw.dims)
    for chosen in chain.from_iterable(combinations(axes, n) for n in range(1, raw.dims + 1)):
        mirrored = replace(volume, raw=flipped(raw, chosen))
        channels = model.task.predictor.mirrored(chosen)
        if any(channels):
            yield _Part(predicted(model, mirrored), chosen, channels)


def _within(part: Roi, whole: Roi, size: Coordinate) -> tuple[slice, ...]:
    """The voxels of a part in an array that covers the whole."""
    begin, shape = (part.begin - whole.begin) / size, part.shape / size
    return tuple(slice(b, b + n) for b, n in zip(begin, shape, strict=True))


def _check_same(models: Sequence[TrainedModel]) -> None:
    """Refuse models whose predictions mean different things."""
    first, *others = models
    for other in others:
        one, two = _meaning(first), _meaning(other)
        for key in {**one, **two}:
            if one.get(key) != two.get(key):
                raise InputError(
                    f"run: {first.saved.label} and {other.saved.label} do not predict the same, so "
                    f"they cannot be averaged: {key} is {one.get(key)} and {two.get(key)}"
                )


def _meaning(model: TrainedModel) -> dict[str, Any]:
    """Of the predicted values, as far as options change it."""
    plain = encode(model.saved.task)
    return {
        "the list of channels": list(model.channel_names),
        "the voxel size": list(model.sample_shape.output_voxel_size),
        "the task": plain.pop("_type_"),
        **{f"task.{k}": v for k, v in plain.items() if k not in _NOT_MEANING and "loss" not in k},
    }
