from __future__ import annotations

import pytest

from dacapo.experiments import TrainingIterationStats, TrainingStats


def stats(until: int) -> TrainingStats:
    out = TrainingStats()
    for i in range(until):
        out.add_iteration_stats(TrainingIterationStats(i, 1 / (i + 1), 0.5))
    return out


def test_empty() -> None:
    assert TrainingStats().trained_until() == 0
    assert TrainingStats([]).to_xarray().sizes == {"iterations": 0}


def test_counting() -> None:
    three = stats(3)
    assert three.trained_until() == 3
    three.delete_after(2)  # weights that were trained until 2 have seen steps 0 and 1
    assert [s.iteration for s in three.iteration_stats] == [0, 1]
    assert three.trained_until() == 2
    three.delete_after(0)
    assert three.trained_until() == 0


@pytest.mark.parametrize("wrong", [0, 2, 4, -1])
def test_out_of_order(wrong: int) -> None:
    with pytest.raises(AssertionError, match=f"iteration {wrong} do not follow.*iteration 3"):
        stats(3).add_iteration_stats(TrainingIterationStats(wrong, 0.0, 0.0))


def test_a_rejected_step_changes_nothing() -> None:
    three = stats(3)
    with pytest.raises(AssertionError):
        three.add_iteration_stats(TrainingIterationStats(7, 0.0, 0.0))
    assert three.trained_until() == 3


def test_to_xarray() -> None:
    loss = stats(3).to_xarray()
    assert loss.dims == ("iterations",)
    assert loss["iterations"].values.tolist() == [0, 1, 2]
    assert loss.sel(iterations=1).item() == 0.5


def test_two_instances_share_nothing() -> None:
    one, two = TrainingStats(), TrainingStats()
    one.add_iteration_stats(TrainingIterationStats(0, 0.0, 0.0))
    assert two.iteration_stats == []
