"""A page that shows training samples after augmentation."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from dacapo.arrays.units import from_world
from dacapo.errors import InputError
from dacapo.experiments.run import Run
from dacapo.experiments.trainers.default_trainer import DefaultTrainer
from dacapo.figures.html import HtmlFigure, Section, html_page
from dacapo.figures.pictures import grey_image, overlay
from dacapo.ops.resize import nearest

_MAX_CHANNELS = 12
_UNKNOWN_COLOUR = (0.15, 0.2, 0.45)
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
                _figures(run, raw, known, target, weight),
            )
        )
    return html_page(f"Batches of {run.name}/{run.repetition}", sections, intro=_INTRO, height=13)


def _figures(run: Run, raw: Tensor, gt: Tensor, target: Tensor, weight: Tensor) -> list[HtmlFigure]:
    """Pictures of one sample: raw in the network's input, everything else in its output."""
    shape = tuple(target.shape[1:])
    figures = [
        HtmlFigure(grey_image(_middle(channel)), f"raw, channel {number}, the whole input")
        for number, channel in enumerate(raw.numpy())
    ]
    labels = _middle(_centre(gt.numpy(), shape))
    size = zip(shape, run.sample_shape.output_voxel_size, strict=True)
    seen = [n * v // i for (n, v), i in zip(size, run.sample_shape.input_voxel_size, strict=True)]
    inner = nearest(_middle(_centre(raw[0].numpy(), tuple(seen))), labels.shape)
    small = np.unique(labels, return_inverse=True)[1].reshape(labels.shape)
    figures.append(HtmlFigure(overlay(grey_image(inner), small, labels), "labels"))
    names = run.task.predictor.channel_names
    for name, values, weights in list(zip(names, target, weight, strict=True))[:_MAX_CHANNELS]:
        values, weights = _middle(values.numpy()), _middle(weights.numpy())
        low = min(0.0, float(values.min()))
        shown = grey_image((values - low) / max(1e-6, 1 - low))
        figures.append(HtmlFigure(_mark_unknown(shown, weights), name))
        heaviest = max(float(weights.max()), 1e-6)
        shown = grey_image(weights / heaviest)
        caption = f"its weight, from 0 to {heaviest:.3g}"
        figures.append(HtmlFigure(_mark_unknown(shown, weights), caption))
    return figures


def _left_out(num: int) -> list[str]:
    return [f"the first {_MAX_CHANNELS} of {num} channels"] if num > _MAX_CHANNELS else []


def _middle(volume: Any) -> Image:
    """The middle section, (Y, X)."""
    return np.asarray(volume[len(volume) // 2] if volume.ndim == 3 else volume, np.float64)


def _centre(volume: Any, shape: tuple[int, ...]) -> Any:
    sides = [(n - s) // 2 for n, s in zip(volume.shape, shape, strict=True)]
    return volume[tuple(slice(b, b + s) for b, s in zip(sides, shape, strict=True))]


def _mark_unknown(image: Image, weights: Image) -> Image:
    colour = 0.3 * image + 0.7 * np.array(_UNKNOWN_COLOUR)
    return np.where((weights == 0)[..., None], colour, image)
