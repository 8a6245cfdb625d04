"""A page that shows training samples after augmentation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from funlib.geometry import Coordinate
from torch import Tensor

from dacapo.arrays.units import from_world
from dacapo.errors import InputError
from dacapo.experiments.run import Run
from dacapo.experiments.trainers.default_trainer import DefaultTrainer
from dacapo.figures.colours import (
    contrast,
    distinct_colours,
    grey_image,
    mark_unknown,
    matching_numbers,
    overlay,
)
from dacapo.figures.html import HtmlFigure, Section, html_page
from dacapo.ops.resize import nearest

_MAX_CHANNELS = 12
_INTRO = (
    "Samples as the network sees them, after all augmentations; middle sections. Colours are "
    "labels, drawn over raw. Blue voxels are ignored: their weight is 0."
)
Image = np.ndarray[Any, np.dtype[np.float64]]


def batch_page(run: Run, num: int) -> str:
    """The first samples of a run.

    Raises:
        InputError: the trainer does not train on crops.
    """
    trainer = run.trainer
    if not isinstance(trainer, DefaultTrainer):
        raise InputError("trainer: only samples of trainer=default can be shown")
    maker = trainer.batch_maker(run.datasplit.train, run.task.predictor, run.sample_shape)
    sections = []
    for index in range(num):
        iteration, number = divmod(index, trainer.config.batch_size)
        sample, crop = maker.sample(run.repetition, iteration, number)
        raw, target, weight = (t[0].cpu() for t in maker.targets([sample], [crop.dataset]))
        gt = crop.dataset.gt
        known = (sample.gt * (sample.mask != 0)).cpu()
        sections.append(
            Section(
                f"iteration {iteration}, sample {number}: {crop.dataset.name}",
                [f"from {from_world(crop.roi.begin, gt.unit)} {gt.unit}", *_left_out(len(target))],
                _groups(run, raw, known, target, weight),
            )
        )
    return html_page(f"Batches of {run.name}/{run.repetition}", sections, intro=_INTRO, width=13)


def _groups(
    run: Run, raw: Tensor, gt: Tensor, target: Tensor, weight: Tensor
) -> list[list[HtmlFigure]]:
    """Pictures of one sample: raw in the network's input, everything else in its output.

    Raw and labels form a group, and so do each channel of the target and its weight.
    """
    shape, sizes = tuple(target.shape[1:]), run.sample_shape
    unit = run.datasplit.train[0].gt.unit
    fine: dict[str, Any] = {"unit": unit, "pixel_size": _plane(sizes.output_voxel_size, unit)}
    coarse: dict[str, Any] = {"unit": unit, "pixel_size": _plane(sizes.input_voxel_size, unit)}
    first = []
    for number, channel in enumerate(raw.numpy()):
        values = _middle(channel)
        caption = f"raw, channel {number}, {_where(raw.shape[1:])}: the whole input"
        limits = contrast(values)
        first.append(HtmlFigure(grey_image(values, limits), caption, limits=limits, **coarse))
    labels = _middle(_centre(gt.numpy(), shape))
    size = zip(shape, sizes.output_voxel_size, strict=True)
    seen = [n * v // i for (n, v), i in zip(size, sizes.input_voxel_size, strict=True)]
    inner = nearest(_middle(_centre(raw[0].numpy(), tuple(seen))), labels.shape)
    codes = matching_numbers(labels, labels * 0)[0]
    over = overlay(grey_image(inner), codes, distinct_colours([codes]))
    first.append(HtmlFigure(over, f"labels, {_where(shape)}: the output", **fine))
    groups = [first]
    names = run.task.predictor.channel_names
    for name, values, weights in list(zip(names, target, weight, strict=True))[:_MAX_CHANNELS]:
        values, weights = _middle(values.numpy()), _middle(weights.numpy())
        limits = min(0.0, float(values.min())), 1.0
        heaviest = 0.0, max(float(weights.max()), 1e-6)
        groups.append(
            [
                HtmlFigure(mark_unknown(grey_image(values, limits), weights), name,
                           limits=limits, **fine),
                HtmlFigure(mark_unknown(grey_image(weights, heaviest), weights),
                           f"weight of {name}", limits=heaviest, **fine),
            ]
        )  # fmt: skip
    return groups


def _plane(voxel_size: Coordinate, unit: str) -> tuple[float, float]:
    y, x = from_world(voxel_size, unit)[-2:]
    return y, x


def _where(shape: Sequence[int]) -> str:
    return f"section {shape[0] // 2} of {shape[0]}" if len(shape) == 3 else "the whole image"


def _left_out(num: int) -> list[str]:
    return [f"the first {_MAX_CHANNELS} of {num} channels"] if num > _MAX_CHANNELS else []


def _middle(volume: Any) -> Image:
    """The middle section, (Y, X)."""
    return np.asarray(volume[len(volume) // 2] if volume.ndim == 3 else volume, np.float64)


def _centre(volume: Any, shape: tuple[int, ...]) -> Any:
    sides = [(n - s) // 2 for n, s in zip(volume.shape, shape, strict=True)]
    return volume[tuple(slice(b, b + s) for b, s in zip(sides, shape, strict=True))]
