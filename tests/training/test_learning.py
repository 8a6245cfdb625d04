"""Every task trains to a bar on synthetic tissue: ten seconds or more each."""

from __future__ import annotations

import numpy as np
import pytest

from dacapo.experiments.run import Run
from dacapo.inference.scoring import validate
from tests.conftest import TASKS, small_task_config

SETTINGS = [
    "num_iterations=150",
    "architecture.num_fmaps=8",
    "architecture.input_shape=[36,36,36]",
    "trainer.learning_rate=5e-3",
    "trainer.warmup_iterations=20",
    "trainer/augments=[mirror,transpose]",
    "datasplit.train_shape=[64,64,64]",
    "datasplit.validate_shape=[32,48,48]",
    "datasplit.noise=0.05",
    "datasplit.cell_size=14",
]

# What is scored, the bar, and what else it takes.
LARGE = ["datasplit.cell_size=30", "num_iterations=150"]
BARS: dict[str, tuple[str, float, list[str]]] = {
    "affinities": ("voi", 2.2, []),
    "affinities_lsds": ("voi", 2.2, []),
    "affinities task/post_processor=agglomeration": ("voi", 2.2, []),
    "distance": ("f1_50", 0.5, []),
    "distance_classes": ("dice", 0.5, LARGE),
    "hot_distance": ("dice", 0.5, LARGE),
    "inner_distance": ("f1_50", 0.45, []),
    "one_hot": ("dice", 0.5, LARGE),
    "boundary": ("f1_50", 0.4, []),
}


def test_every_task_has_its_bar() -> None:
    assert BARS.keys() == TASKS.keys()


QUICK = "affinities", "inner_distance", "one_hot", "boundary"
"""One of each kind of target; the long tests train the others too."""


@pytest.mark.slow
@pytest.mark.parametrize(
    "task", [t if t in QUICK else pytest.param(t, marks=pytest.mark.long) for t in BARS]
)
def test_learns(task: str) -> None:
    criterion, bar, more = BARS[task]
    run = Run(small_task_config(task, *SETTINGS, *more))
    losses = [run.train_step(batch).loss for batch in run.batches(0)]
    assert np.mean(losses[-20:]) < 0.8 * np.mean(losses[:20])
    run.validation_scores.add_iteration_scores(validate(run))
    best = run.validation_scores.best(criterion)
    assert best is not None
    print(f"{task}: {best.text}")
    higher = run.task.evaluator.evaluation_scores.higher_is_better(criterion)
    assert best.value > bar if higher else best.value < bar
