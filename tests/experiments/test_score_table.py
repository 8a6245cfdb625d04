from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from dacapo.errors import InputError
from dacapo.experiments.score_table import Rule, ScoreHeader, ScoreTable

NAN = math.nan
HEADER = ScoreHeader(
    datasets=["a", "b"],
    parameters=[{"label": "t=1", "t": 1}, {"label": "t=2", "t": 2}],
    criteria=[
        {"name": "voi", "higher_is_better": 0},
        {"name": "f1", "higher_is_better": 1},
    ],
    selected_by="voi",
)


def table(*voi: list[list[float]]) -> ScoreTable:
    """By iteration, dataset and parameter; f1 is its negative."""
    values = np.array(voi)
    return ScoreTable(
        HEADER, [10 * (i + 1) for i in range(len(voi))], np.stack([values, -values], axis=-1)
    )


def test_the_best_mean_over_the_datasets() -> None:
    scores = table([[1, 2], [5, 3]], [[2, 1], [2, 4]])
    best = scores.best()
    assert best is not None
    assert (best.iteration, best.index, best.parameters, best.value) == (20, 1, 0, 2.0)
    assert best.text == "voi 2.000 with t=1"
    by_f1 = scores.best("f1")
    assert by_f1 is not None
    assert (by_f1.iteration, by_f1.parameters, by_f1.value) == (20, 0, -2.0)
    assert scores.criterion_history().values == [2.5, 2.0]
    assert scores.criterion_history("f1").values == [-2.5, -2.0]
    assert scores.criterion_history("f1").higher_is_better


def test_a_dataset_without_a_score_leaves_its_setting_without_a_mean() -> None:
    scores = table([[0.1, 2], [NAN, 4]])
    best = scores.best()
    assert best is not None
    assert (best.parameters, best.value) == (1, 3.0)


def test_no_number_and_no_validation_have_no_best() -> None:
    assert table([[NAN, NAN], [1, 1]]).best() is None
    assert table([[1, 1], [1, 1]]).among([]).best() is None
    assert [math.isnan(v) for v in table([[NAN, NAN], [1, 1]]).criterion_history().values] == [True]


def test_the_first_of_equal_values_wins() -> None:
    best = table([[1, 1], [1, 1]], [[1, 1], [1, 1]]).best()
    assert best is not None
    assert (best.iteration, best.parameters) == (10, 0)


def test_a_header_survives_the_disk_and_an_unknown_criterion_is_named() -> None:
    assert ScoreHeader.decode(HEADER.encode()) == HEADER
    with pytest.raises(InputError, match=r"criterion=dice: choose from voi, f1"):
        HEADER.find("dice")


@pytest.mark.parametrize(
    ("name", "value", "is_nothing"),
    [("num_segments", 0, True), ("num_segments", 3, False), ("precision", NAN, True),
     ("precision", 0.5, False)],
)  # fmt: skip
def test_a_segmentation_that_is_empty_is_said_beside_its_score(
    name: str, value: float, is_nothing: bool
) -> None:
    criteria = [*HEADER.criteria[:1], {"name": name, "higher_is_better": 1}]
    header = ScoreHeader(["a"], HEADER.parameters[:1], criteria, "voi")
    best = ScoreTable(header, [10], np.array([[[[2.0, value]]]])).best()
    assert best is not None
    assert best.text == "voi 2.000 with t=1" + ", which found nothing" * is_nothing


@pytest.mark.parametrize(
    ("scores", "is_trivial"),
    [([2.0, 3.0], True), ([2.5, 3.5], True), ([1.9, 3.5], False), ([2.5, 2.9], False)],
)
def test_a_run_that_is_nowhere_better_than_a_trivial_segmentation(
    scores: list[float], is_trivial: bool
) -> None:
    facts = {"a": {"trivial": {"voi": 2.0}}, "b": {"trivial": {"voi": 3.0}}}
    header = ScoreHeader(["a", "b"], HEADER.parameters[:1], HEADER.criteria[:1], "voi", {}, facts)
    values = np.array(scores).reshape(1, 2, 1, 1)
    best = ScoreTable(header, [10], values).best()
    assert best is not None
    expected = "is no better than one object or none" if is_trivial else ""
    assert best.collapsed == expected
    assert ScoreHeader.decode(header.encode()) == header
    unknown = {**facts, "b": {"trivial": {"voi": None}}}
    best = ScoreTable(replace(header, facts=unknown), [10], values).best()
    assert best is not None
    assert best.collapsed == ""


def test_a_header_without_facts_is_written_as_before() -> None:
    assert b"facts" not in HEADER.encode()
    assert b"settings" not in HEADER.encode()


def test_the_simplest_within_one_standard_error() -> None:
    """Over three datasets: the best is 1.0 with an error of 0.1 / sqrt(3)."""
    header = ScoreHeader(list("abc"), HEADER.parameters[:2], HEADER.criteria[:1], "voi")
    means = [[1.2, 1.06], [1.05, 1.0], [1.01, NAN]]
    around = np.array([-0.1, 0.0, 0.1])
    values = np.array(means)[:, None, :, None] + around[None, :, None, None]
    table = ScoreTable(header, [10, 20, 30], values)
    best, simplest = table.best(), table.best(rule=Rule.one_standard_error)
    assert best is not None
    assert (best.iteration, best.parameters) == (20, 1)
    assert simplest is not None
    assert (simplest.iteration, simplest.parameters) == (20, 0)  # 1.06 is beyond 1.0577
    few = ScoreTable(replace(header, datasets=["a", "b"]), [10, 20, 30], values[:, :2])
    with pytest.raises(InputError, match=r"needs 3 or more validation volumes .* there are 2"):
        few.best(rule=Rule.one_standard_error)
