from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dacapo.errors import InputError
from dacapo.experiments import TrainingIterationStats, ValidationIterationScores
from dacapo.experiments.halving_config import HalvingConfig
from dacapo.experiments.run_config import RunConfig
from dacapo.experiments.score_table import ScoreHeader
from dacapo.runs import History, RunFolder
from dacapo.sweeps.asha import is_never_stopped, reason_to_stop, rungs, savings, score_at
from tests.conftest import run_document, small_run_config


def header(higher: int = 0, dataset: str = "a") -> ScoreHeader:
    voi = {"name": "voi", "higher_is_better": higher}
    return ScoreHeader(
        [dataset], [{"label": "x=0", "x": 0.0}, {"label": "x=1", "x": 1.0}], [voi], "voi"
    )


def run_config(**changes: Any) -> RunConfig:
    config = small_run_config("num_iterations=900", "validation_interval=100", "name=own")
    for key, value in changes.items():
        setattr(config, key, value)
    return config


def write(
    runs_dir: Path, label: str, scores: dict[int, float], status: str = "", **kind: Any
) -> RunFolder:
    """A run whose best parameters have these scores at these iterations."""
    folder = RunFolder(runs_dir / label)
    document = run_document(folder.path.parent.name, 900)
    with folder.writing(document) as writer:
        writer.begin(0, header(**kind))
        done = 0
        for iteration, score in scores.items():
            for step in range(done, iteration):
                writer.add_step(TrainingIterationStats(step, 1.0, 0.1))
            done = iteration
            worse = score - 1 if kind.get("higher") else score + 1
            writer.add_scores(ValidationIterationScores(iteration, [[[score], [worse]]]))
        if status:
            writer.finish(status)
    return folder


def reason(tmp_path: Path, own: RunFolder, halving: HalvingConfig, **changes: Any) -> str:
    return reason_to_stop(halving, run_config(**changes), ["a=1"], own, tmp_path)


def test_rungs() -> None:
    assert rungs(HalvingConfig(), run_config()) == [100, 300]
    assert rungs(HalvingConfig(factor=2, min_iterations=200), run_config()) == [200, 400, 800]
    slow = run_config()
    slow.trainer_config.warmup_iterations = 300  # type: ignore[attr-defined]
    assert rungs(HalvingConfig(), slow) == []


@pytest.mark.parametrize(("higher", "others"), [(0, [1.0, 2.0]), (1, [9.0, 8.0])])
def test_the_worst_third_is_stopped(tmp_path: Path, higher: int, others: list[float]) -> None:
    for index, score in enumerate(others):
        write(tmp_path, f"other/{index}", {100: score, 200: score}, higher=higher)
    own = write(tmp_path, "own/0", {100: 5.0}, higher=higher)
    text = reason(tmp_path, own, HalvingConfig())
    assert text == (
        "at iteration 100 2 of 2 other runs are better than its voi of 5, and 1 may continue"
    )
    best = write(tmp_path, "own/1", {100: 99.0 if higher else 0.5}, higher=higher)
    assert reason(tmp_path, best, HalvingConfig()) == ""


def test_nobody_is_stopped_between_rungs_or_in_too_small_company(tmp_path: Path) -> None:
    write(tmp_path, "other/0", {100: 1.0, 200: 1.0, 225: 1.0})
    own = write(tmp_path, "own/0", {100: 5.0, 200: 5.0})
    assert reason(tmp_path, own, HalvingConfig(factor=2)) == ""  # 200 is no rung
    alone = write(tmp_path, "own/1", {225: 5.0})
    assert reason(tmp_path, alone, HalvingConfig(factor=4)) == ""  # 4 runs are not there
    assert reason(tmp_path, alone, HalvingConfig(factor=2)) != ""


def test_runs_that_are_not_there_yet_or_not_alike_do_not_count(tmp_path: Path) -> None:
    write(tmp_path, "early/0", {50: 1.0})
    write(tmp_path, "otherdata/0", {100: 1.0}, dataset="b")
    write(tmp_path, "same/0", {100: 1.0, 200: 0.1})
    own = write(tmp_path, "own/0", {100: 5.0})
    halving = HalvingConfig(factor=2, min_iterations=100)
    assert "1 of 1 other runs" in reason(tmp_path, own, halving)
    better = write(tmp_path, "own/1", {100: 0.5})  # worse than same/0 at 200, but not at 100
    assert reason(tmp_path, better, halving) == ""


def test_a_control_is_never_stopped(tmp_path: Path) -> None:
    write(tmp_path, "other/0", {100: 1.0})
    own = write(tmp_path, "own/0", {100: 5.0})
    for control in ("own", "a=1"):
        halving = HalvingConfig(factor=2, min_iterations=100, never_stop=[control])
        assert reason(tmp_path, own, halving) == ""
    assert not is_never_stopped(HalvingConfig(never_stop=["b=1"]), run_config(), ["a=1"])


def test_a_run_without_a_score_is_worse_than_any(tmp_path: Path) -> None:
    write(tmp_path, "other/0", {100: 5.0})
    own = write(tmp_path, "own/0", {100: math.nan})
    assert reason(tmp_path, own, HalvingConfig(factor=2, min_iterations=100)) != ""
    both = write(tmp_path / "x", "other/0", {100: math.nan})
    assert both
    again = write(tmp_path / "x", "own/0", {100: math.nan})
    assert reason(tmp_path / "x", again, HalvingConfig(factor=2, min_iterations=100)) == ""


def test_the_score_until_an_iteration_is_the_best_so_far(tmp_path: Path) -> None:
    history = write(tmp_path, "a/0", {100: 3.0, 200: 4.0, 300: 2.0}).read_history()
    assert [score_at(history, i) for i in (100, 250, 300)] == [3.0, 3.0, 2.0]
    assert math.isnan(score_at(history, 50))


def test_what_was_saved_and_what_it_may_have_cost(tmp_path: Path) -> None:
    def histories(stopped_at: float) -> list[tuple[History, int]]:
        runs_dir = tmp_path / str(stopped_at)
        done = [{100: 4.0, 900: 2.0}, {100: 4.2, 900: 2.1}, {100: 4.1, 900: 2.3}]
        folders = [write(runs_dir, f"d/{i}", s, "done") for i, s in enumerate(done)]
        folders.append(write(runs_dir, "s/0", {100: stopped_at}, "stopped"))
        return [(f.read_history(), 900) for f in folders]

    pruned, close = savings(histories(9.0)), savings(histories(4.1))
    assert pruned is not None
    assert close is not None
    assert (pruned.stopped, pruned.saved, pruned.wanted) == (1, 800, 3600)
    assert pruned.risk < 0.01 < 0.1 < close.risk < 0.5
    assert "800 of 3600 iterations saved (22%)" in str(pruned)
    # By hand: it gains 2.0, 2.1 or 1.8, 1.967 in the mean; 4.1 would end at 2.133, behind 2.0.
    gains = np.array([2.0, 2.1, 1.8])
    lead = 2.0 - (4.1 - gains.mean())
    from scipy import stats

    by_hand = stats.t.cdf(lead / (gains.std(ddof=1) * math.sqrt(4 / 3)), 2)
    assert close.risk == pytest.approx(by_hand)


def test_a_risk_that_cannot_be_estimated_is_nan_and_says_so(tmp_path: Path) -> None:
    folders = [
        write(tmp_path, "d/0", {100: 4.0, 900: 2.0}, "done"),
        write(tmp_path, "s/0", {100: 5.0}, "stopped"),
    ]
    saved = savings([(f.read_history(), 900) for f in folders])
    assert saved is not None
    assert math.isnan(saved.risk)
    assert "not estimated, as 1 finished runs are too few" in str(saved)
    assert savings([(folders[0].read_history(), 900)]) is None


@pytest.mark.parametrize("values", [{"factor": 1}, {"min_iterations": 0}])
def test_values_that_make_no_sense(values: dict[str, int]) -> None:
    with pytest.raises(InputError, match=r"halving\."):
        HalvingConfig(**values)  # type: ignore[arg-type]
