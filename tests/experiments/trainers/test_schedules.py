from __future__ import annotations

from math import nan
from typing import Any

import numpy as np
import pytest
import torch

from dacapo.experiments.criterion_history import CriterionHistory
from dacapo.experiments.trainers import DefaultTrainerConfig, ScheduleName
from dacapo.experiments.trainers.schedules import learning_rate


def schedule(name: str, **more: Any) -> DefaultTrainerConfig:
    values = {
        "learning_rate": 1.0, "final_rate": 0.1, "warmup_iterations": 10,
        "schedule_iterations": 110, **more,
    }  # fmt: skip
    return DefaultTrainerConfig(schedule=ScheduleName[name], **values)


@pytest.mark.parametrize("name", ["cosine", "polynomial", "plateau", "constant"])
def test_warm_up(name: str) -> None:
    rates = [learning_rate(schedule(name), i, CriterionHistory()) for i in range(11)]
    np.testing.assert_allclose(rates, np.arange(1, 12) / 11)


@pytest.mark.parametrize("name", ["cosine", "polynomial"])
def test_falls_to_the_final_rate_and_stays(name: str) -> None:
    rates = [learning_rate(schedule(name), i, CriterionHistory()) for i in range(10, 130)]
    assert rates == sorted(rates, reverse=True)
    assert rates[99] == pytest.approx(0.1)
    assert set(rates[100:]) == {rates[100]}


def test_polynomial_by_hand() -> None:
    rate = learning_rate(
        schedule("polynomial", final_rate=0.0, warmup_iterations=0, schedule_iterations=101),
        50,
        CriterionHistory(),
    )
    assert rate == pytest.approx(0.5**0.9)


def test_a_plateau_agrees_with_torchs() -> None:
    rng = np.random.default_rng(0)
    values = (np.exp(-np.arange(40) / 8) + 0.05 * rng.standard_normal(40)).tolist()
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, factor=0.5, patience=2, threshold=0.0
    )
    ours = schedule("plateau", final_rate=0.0, plateau_factor=0.5, plateau_patience=2)
    for number in range(1, 41):
        theirs.step(values[number - 1])
        rate = learning_rate(ours, 1000, CriterionHistory(values[:number]))
        assert rate == pytest.approx(optimizer.param_groups[0]["lr"])
    assert rate < 0.1


def test_a_plateau_goes_no_lower_than_the_final_rate() -> None:
    assert learning_rate(schedule("plateau"), 99, CriterionHistory([1.0] * 100)) == 0.1


def test_waiting_for_an_improvement() -> None:
    assert CriterionHistory([]).num_bad_validations() == 0
    assert CriterionHistory([nan, nan]).num_bad_validations() == 2
    assert CriterionHistory([0.1, 0.3, 0.2], higher_is_better=True).num_bad_validations() == 1
    assert CriterionHistory([3.0, 2.95, 2.9, 2.0]).improvements(min_delta=0.5) == [
        True,
        False,
        False,
        True,
    ]
    assert CriterionHistory([nan, 1.0]).improvements() == [False, True]
