"""Training to a bar, on made-up tissue: half a minute each."""

from __future__ import annotations

import numpy as np
import pytest

from dacapo.experiments.run import Run
from dacapo.validate import validate
from tests.conftest import small_run_config

pytestmark = pytest.mark.slow

SETTINGS = [
    "num_iterations=150",
    "architecture.num_fmaps=8",
    "architecture.input_shape=[36,36,36]",
    "trainer.learning_rate=5e-3",
    "trainer.warmup_iterations=20",
    "trainer/augments=[mirror,transpose]",
    "task.post_processor.min_size=[0,30]",
    "datasplit.train_shape=[64,64,64]",
    "datasplit.validate_shape=[32,48,48]",
    "datasplit.noise=0.05",
    "datasplit.cell_size=14",
]


@pytest.mark.parametrize("more", [[], ["task.lsds=true", "task.lsd_sigma=2.0"]])
def test_affinities(more: list[str]) -> None:
    run = Run(small_run_config(*SETTINGS, *more))
    losses = [run.train_step(batch).loss for batch in run.batches(0)]
    assert np.mean(losses[-20:]) < 0.75 * np.mean(losses[:20])
    run.validation_scores.add_iteration_scores(validate(run))
    best = run.validation_scores.best("voi")
    assert best is not None
    voi, error = (
        run.validation_scores.scores[0].scores[0][best.parameters][
            run.validation_scores.criteria.index(criterion)
        ]
        for criterion in ("voi", "adapted_rand_error")
    )
    print(f"voi {voi:.3f}, adapted Rand error {error:.3f}")
    assert voi < 2.2  # one segment for everything: 4.9
    assert error < 0.4
