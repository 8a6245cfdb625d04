"""Does a wider network, or a larger batch, ever learn less? The loss at equal iterations.

Each line is the median of some repetitions, on synthetic cells or on a volume of your own: the loss
on crops of the validation volume, which are the same for all, and the largest share of the channels
of a level that are zero everywhere in one of them. With one thread; the crops of equal repetitions
are equal.

    python benchmarks/widths.py [widths=8,12,24] [batches=1,2,4] [repetitions=3] [iterations=300] \
        [norm=batch] [KEY=VALUE of dacapo.train ...]
"""

from __future__ import annotations

import json
import sys
from statistics import median
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from torch import Tensor, nn

from dacapo.config import conf_dir
from dacapo.experiments.run import Run
from dacapo.experiments.run_config import RunConfig
from dacapo.experiments.trainers.trainer import Batch

ASKED = {
    "widths": "8,12,24", "batches": "1,2,4", "repetitions": "3", "iterations": "300",
    "norm": "batch",
}  # fmt: skip
NUM_CROPS = 16


def run_of(width: int, batch: int, repetition: int, asked: dict[str, str], more: list[str]) -> Run:
    overrides = [
        "architecture.input_shape=[52,52,52]", f"architecture.num_fmaps={width}",
        f"architecture.norm={asked['norm']}", f"trainer.batch_size={batch}",
        f"repetition={repetition}", f"num_iterations={asked['iterations']}",
        "trainer.num_workers=0", "trainer.num_threads=1", *more,
    ]  # fmt: skip
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        return Run(RunConfig.from_hydra(compose("train", overrides=overrides)))


def validation_crops(run: Run) -> list[Batch]:
    """Crops without augmentation, the same for each network."""
    trainer: Any = run.trainer
    augments, trainer.augments = trainer.augments, []
    maker = trainer.batch_maker(run.datasplit.validate, run.task.predictor, run.sample_shape)
    trainer.augments = augments
    return [maker.batch(0, i) for i in range(max(1, NUM_CROPS // run.trainer.config.batch_size))]


@torch.no_grad()
def loss_on(run: Run, crops: list[Batch]) -> float:
    run.model.eval()
    activation, run.model.eval_activation = run.model.eval_activation, None
    losses = [run.task.loss.compute(run.train_state.forward(c.raw), c.target, c.weight)
              for c in crops]  # fmt: skip
    run.model.eval_activation = activation
    return float(torch.stack(losses).mean())


@torch.no_grad()
def dead_share(run: Run, raw: Tensor) -> float:
    """Of the level where most channels are zero everywhere."""
    shares = []

    def look(layer: nn.Module, inputs: Any, output: Tensor) -> None:
        shares.append(float((output.amax(dim=(0, 2, 3, 4)) <= 0).float().mean()))

    hooks = [m.register_forward_hook(look) for m in run.model.modules() if isinstance(m, nn.ReLU)]
    run.train_state.forward(raw)
    for hook in hooks:
        hook.remove()
    return max(shares)


def main() -> None:
    given = dict(argument.split("=", 1) for argument in sys.argv[1:])
    asked = {key: given.pop(key, default) for key, default in ASKED.items()}
    more = [f"{key}={value}" for key, value in given.items()]
    for width in map(int, asked["widths"].split(",")):
        for batch in map(int, asked["batches"].split(",")):
            losses, dead = [], []
            for repetition in range(int(asked["repetitions"])):
                run = run_of(width, batch, repetition, asked, more)
                for step in run.batches(0):
                    run.train_step(step)
                crops = validation_crops(run)
                losses.append(loss_on(run, crops))
                dead.append(dead_share(run, crops[0].raw))
            found = {"width": width, "batch": batch, "norm": asked["norm"],
                     "loss": round(median(losses), 4), "losses": [round(v, 4) for v in losses],
                     "dead": round(median(dead), 3)}  # fmt: skip
            print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
