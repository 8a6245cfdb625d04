from __future__ import annotations

import numpy as np
import pytest
import torch

from dacapo.experiments.run import Run
from dacapo.inference.scoring import validate
from tests.conftest import small_run_config

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_run_on_a_gpu_agrees_with_one_on_the_cpu(precision: str) -> None:
    """Data, targets and network on the device: the same crops, nearly the same loss."""
    more = ["trainer/augments=[mirror,transpose,elastic]", "task.lsds=true", "task.lsd_sigma=1.0"]
    losses = []
    for device in ("cpu", "cuda"):
        run = Run(
            small_run_config(*more, f"trainer.device={device}", f"trainer.precision={precision}")
        )
        losses.append([run.train_step(batch).loss for batch in run.batches(0)])
        assert next(run.model.parameters()).device.type == device
        assert np.isfinite(validate(run).scores).all()
    assert losses[0] == pytest.approx(losses[1], rel=1e-3 if precision == "fp32" else 3e-2)
