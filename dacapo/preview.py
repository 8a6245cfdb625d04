"""`python -m dacapo.preview ...`: some batches as they will be trained, on a page.

It takes the overrides of `dacapo.train`, and num=4 and output=preview.html.
"""

from __future__ import annotations

import html
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from hydra import compose, initialize_config_dir

from dacapo.arrays.units import from_world
from dacapo.config import conf_dir
from dacapo.errors import InputError, one_line_errors
from dacapo.experiments.run_config import RunConfig
from dacapo.figures.html import figure, page

if TYPE_CHECKING:
    from torch import Tensor

    from dacapo.experiments.run import Run

_MOST_CHANNELS = 12
_UNKNOWN = (0.15, 0.2, 0.45)
Image = np.ndarray[Any, np.dtype[np.float64]]


def main() -> None:
    """The command line."""
    with one_line_errors():
        own = {"num": "4", "output": "preview.html"}
        overrides = []
        for argument in sys.argv[1:]:
            key, _, value = argument.partition("=")
            if key in own:
                own[key] = value
            else:
                overrides.append(argument)
        if {"-h", "--help"} & set(overrides):
            print(__doc__)
            return
        if not own["num"].isdecimal() or not int(own["num"]):
            raise InputError(f"num={own['num']}: give how many samples to show, at least 1")
        with initialize_config_dir(conf_dir(), version_base="1.3"):
            cfg = compose("train", overrides=overrides)
        preview(RunConfig.from_hydra(cfg), int(own["num"]), Path(own["output"]))


def preview(run_config: RunConfig, num: int, output: Path) -> None:
    """Write a page of the first samples of a run."""
    from dacapo.experiments.run import Run
    from dacapo.experiments.trainers.default_trainer import DefaultTrainer
    from dacapo.runs.atomic import write_atomically
    from dacapo.training.terminal import console

    run = Run(run_config)
    trainer = run.trainer
    if not isinstance(trainer, DefaultTrainer):
        raise InputError("trainer: only batches of trainer=default can be shown")
    maker = trainer.maker(run.datasplit.train, run.task.predictor, run.sample_shape)
    parts = [
        "<p>As the network sees them, after all augmentations; the middle section of each. Colours "
        "are labels, drawn over raw. Blue is what counts nowhere: its weight is 0.</p>"
    ]
    for index in range(num):
        iteration, number = divmod(index, trainer.batch_size)
        sample, crop = maker.sample(run.repetition, iteration, number)
        raw, target, weight = (t[0].cpu() for t in maker.targets([sample], [crop.dataset]))
        title = f"iteration {iteration}, sample {number}: {crop.dataset.name}"
        gt = crop.dataset.gt
        where = f"from {from_world(crop.roi.begin, gt.unit)} {gt.unit}"
        parts.append(f"<h2>{html.escape(title)}</h2><p>{html.escape(where)}</p>")
        known = sample.gt * (sample.mask != 0)
        parts.append(_row(run, raw, known.cpu(), target, weight))
    write_atomically(output, page(f"Batches of {run.name}/{run.repetition}", *parts).encode())
    console.print(f"{num} samples of {run.name}/{run.repetition}: {output}")


def _row(run: Run, raw: Tensor, gt: Tensor, target: Tensor, weight: Tensor) -> str:
    """Pictures of one sample; raw of the network's input, all else of its output."""
    from dacapo.figures.pictures import overlay

    shape = tuple(target.shape[1:])
    grey = raw.numpy() / 2 + 0.5  # as files are read, before `to_signed_range`
    figures = [figure(_grey(_middle(c)), f"raw {i}, all of it") for i, c in enumerate(grey)]
    labels = _middle(_centre(gt.numpy(), shape))
    size = zip(shape, run.sample_shape.output_voxel_size, strict=True)
    seen = [n * v // i for (n, v), i in zip(size, run.sample_shape.input_voxel_size, strict=True)]
    inner = _fit(_middle(_centre(grey[0], tuple(seen))), labels.shape)
    small = np.unique(labels, return_inverse=True)[1].reshape(labels.shape)
    figures.append(figure(overlay(_grey(inner), small, labels), "labels"))
    names = run.task.predictor.channel_names
    for name, values, weights in list(zip(names, target, weight, strict=True))[:_MOST_CHANNELS]:
        values, weights = _middle(values.numpy()), _middle(weights.numpy())
        low = min(0.0, float(values.min()))
        shown = _grey((values - low) / max(1e-6, 1 - low))
        figures.append(figure(_blue(shown, weights), name))
        heaviest = max(float(weights.max()), 1e-6)
        shown = _grey(weights / heaviest)
        figures.append(figure(_blue(shown, weights), f"its weight, 0 to {heaviest:.3g}"))
    left_out = len(names) - _MOST_CHANNELS
    return "".join(figures) + (f"<p>and {left_out} more channels</p>" if left_out > 0 else "")


def _middle(volume: Any) -> Image:
    """The middle section, (Y, X)."""
    return np.asarray(volume[len(volume) // 2] if volume.ndim == 3 else volume, np.float64)


def _centre(volume: Any, shape: tuple[int, ...]) -> Any:
    sides = [(n - s) // 2 for n, s in zip(volume.shape, shape, strict=True)]
    return volume[tuple(slice(b, b + s) for b, s in zip(sides, shape, strict=True))]


def _fit(image: Image, shape: tuple[int, ...]) -> Image:
    """Nearest neighbours, where raw and labels differ in voxel size."""
    rows, columns = (np.arange(s) * n // s for n, s in zip(image.shape, shape, strict=True))
    return image[np.ix_(rows, columns)]


def _grey(image: Image) -> Image:
    return np.repeat(np.clip(image, 0, 1)[..., None], 3, axis=-1)


def _blue(image: Image, weights: Image) -> Image:
    return np.where((weights == 0)[..., None], 0.3 * image + 0.7 * np.array(_UNKNOWN), image)


if __name__ == "__main__":
    main()
