from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from dacapo.experiments import ValidationIterationScores, ValidationScores
from dacapo.experiments.score_table import ScoreHeader, ScoreTable
from dacapo.experiments.tasks.evaluators import EvaluationScores
from dacapo.experiments.tasks.post_processors import PostProcessorParameters
from dacapo.experiments.validation_scores import criterion_attributes

NAN = math.nan


@dataclass
class Setting(PostProcessorParameters):
    id: int
    bias: float
    mode: str | None = None


@dataclass
class Named:
    name: str


class DiceAndVoi(EvaluationScores):
    criteria = ["dice", "voi"]  # noqa: RUF012 (as a person may write it)

    def higher_is_better(self, criterion: str) -> bool:
        return criterion == "dice"

    def bounds(self, criterion: str) -> tuple[float, float]:
        return (0, 1) if criterion == "dice" else (0, math.inf)

    def store_best(self, criterion: str) -> bool:
        return True


class CriteriaAsMethod(DiceAndVoi):
    def criteria(self) -> list[str]:  # type: ignore[override]
        return ["dice", "voi"]


def scores(*iterations: int, evaluation: EvaluationScores | None = None) -> ValidationScores:
    """Two datasets, three parameters; the value tells where it stands."""
    out = ValidationScores(
        [Setting(0, 0.1), Setting(1, 0.5), Setting(2, 0.9)],
        [Named("a"), Named("b")],
        evaluation or DiceAndVoi(),
    )
    for iteration in iterations:
        out.add_iteration_scores(one(iteration))
    return out


def one(iteration: int, shift: float = 0.0) -> ValidationIterationScores:
    values = np.arange(2 * 3 * 2).reshape(2, 3, 2) / 100 + iteration + shift
    return ValidationIterationScores(iteration, values.tolist())


def test_header() -> None:
    header = scores()
    assert header.criteria == ["dice", "voi"]
    assert header.parameter_names == ["bias", "mode"]
    assert scores(evaluation=CriteriaAsMethod()).criteria == ["dice", "voi"]
    assert header.validated_until() == 0
    assert header.to_xarray().shape == (0, 2, 3, 2)


def test_add() -> None:
    some = scores(10, 20)
    assert some.validated_until() == 21
    some.add_iteration_scores(one(20, shift=0.5))  # validated again: the second one counts
    assert [s.iteration for s in some.scores] == [10, 20]
    assert some.scores[1].scores[0][0][0] == 20.5
    with pytest.raises(AssertionError, match="iteration 15 come after those of iteration 20"):
        some.add_iteration_scores(one(15))


def test_delete_after_keeps_the_score_of_the_weights_that_are_kept() -> None:
    some = scores(10, 20, 30)
    some.delete_after(20)
    assert [s.iteration for s in some.scores] == [10, 20]
    some.delete_after(9)
    assert some.validated_until() == 0


def test_subscores() -> None:
    some = scores(10, 20)
    part = some.subscores(some.scores[:1])
    assert part.criteria == some.criteria
    assert [s.iteration for s in part.scores] == [10]
    part.add_iteration_scores(one(30))
    assert len(some.scores) == 2


class TestCompare:
    def test_nothing_exists(self) -> None:
        assert scores(10).compare([]) == (False, 0)

    def test_existing_reaches_further(self) -> None:
        assert scores(10).compare([one(10), one(20)]) == (True, 0)
        assert scores().compare([one(10)]) == (True, 0)

    def test_local_reaches_further(self) -> None:
        assert scores(10, 20, 30).compare([one(10), one(20)]) == (False, 21)

    def test_equal(self) -> None:
        assert scores(10, 20).compare([one(10), one(20)]) == (False, 21)

    def test_local_wins_from_the_first_that_differs(self) -> None:
        assert scores(10, 20, 30).compare([one(10), one(20, 0.1)]) == (False, 20)
        assert scores(10, 20).compare([one(10, 0.1), one(20)]) == (False, 10)

    def test_nan_equals_nan(self) -> None:
        local = scores()
        missing = ValidationIterationScores(10, np.full((2, 3, 2), NAN).tolist())
        local.add_iteration_scores(missing)
        assert local.compare([missing]) == (False, 11)


def test_to_xarray() -> None:
    array = scores(10, 20).to_xarray()
    assert array.dims == ("iterations", "datasets", "parameters", "criteria")
    assert array["iterations"].values.tolist() == [10, 20]
    assert array["datasets"].values.tolist() == ["a", "b"]
    assert array["parameters"].values.tolist()[1] == "bias=0.5,mode=None"
    assert array["bias"].dims == ("parameters",)
    assert array["bias"].values.tolist() == [0.1, 0.5, 0.9]
    at = {"iterations": 20, "datasets": "b", "criteria": "voi"}
    assert array.sel(at).sel(parameters=array.bias == 0.5).item() == 20.09


@pytest.mark.parametrize("suffix", ["nc", "zarr"])
def test_to_xarray_survives_the_disk(tmp_path: Path, suffix: str) -> None:
    array = scores(10, 20).to_xarray()
    path = tmp_path / f"scores.{suffix}"
    if suffix == "nc":
        array.to_netcdf(path, engine="h5netcdf")
        back = xr.open_dataarray(path, engine="h5netcdf")
    else:
        array.to_dataset().to_zarr(path, zarr_format=2)
        back = xr.open_zarr(path)["scores"]
    xr.testing.assert_equal(array, back.load())
    assert back["parameters"].values.tolist() == array["parameters"].values.tolist()


class TestGetBest:
    @staticmethod
    def array(values: list[list[float]]) -> tuple[ValidationScores, xr.DataArray]:
        """One iteration and dataset; values[parameter][criterion]."""
        some = ValidationScores(
            [Setting(i, i / 10) for i in range(len(values))], [Named("a")], DiceAndVoi()
        )
        some.add_iteration_scores(ValidationIterationScores(5, [values]))
        return some, some.to_xarray()

    def test_each_criterion_in_its_own_direction(self) -> None:
        some, array = self.array([[0.1, 3.0], [0.9, 9.0], [0.5, 1.0]])
        index, value = some.get_best(array, "parameters")
        assert index.sel(criteria="dice").item() == "bias=0.1,mode=None"
        assert value.sel(criteria="dice").item() == 0.9
        assert index.sel(criteria="voi").item() == "bias=0.2,mode=None"
        assert value.sel(criteria="voi").item() == 1.0
        assert index.dims == value.dims == ("iterations", "datasets", "criteria")

    def test_one_criterion_selected(self) -> None:
        some, array = self.array([[0.1, 3.0], [0.9, 9.0]])
        index, value = some.get_best(array.sel(criteria="voi"), "parameters")
        assert value.item() == 3.0
        assert array.sel(criteria="voi", parameters=index.item()).item() == 3.0

    def test_nan_never_wins(self) -> None:
        some, array = self.array([[NAN, NAN], [0.2, 4.0], [NAN, 5.0]])
        index, value = some.get_best(array, "parameters")
        assert value.values.ravel().tolist() == [0.2, 4.0]
        assert set(index.values.ravel()) == {"bias=0.1,mode=None"}

    @pytest.mark.parametrize("dim", ["parameters", "iterations", "datasets"])
    def test_no_winner(self, dim: str) -> None:
        some, array = self.array([[NAN, 1.0]])
        index, value = some.get_best(array, dim)
        assert np.isnan(value.sel(criteria="dice")).all()
        assert index.sel(criteria="dice").isnull().all()
        assert value.sel(criteria="voi").item() == 1.0
        assert not index.sel(criteria="voi").isnull().any()

    def test_nothing_to_choose_from(self) -> None:
        some = scores()
        index, value = some.get_best(some.to_xarray(), "iterations")
        assert index.isnull().all()
        assert value.isnull().all()

    def test_along_iterations(self) -> None:
        some = scores(10, 20)
        index, _ = some.get_best(some.to_xarray(), "iterations")
        assert (index.sel(criteria="dice") == 20).all()
        assert (index.sel(criteria="voi") == 10).all()


def table(values: list[list[list[float]]], higher: bool) -> ScoreTable:
    """Of one criterion; values[iteration][dataset][parameter]."""
    numbers = np.array(values)[..., None]
    settings = [{"label": f"x={i}"} for i in range(numbers.shape[2])]
    datasets = [f"{i}" for i in range(numbers.shape[1])]
    header = ScoreHeader(
        datasets, settings, [{"name": "score", "higher_is_better": int(higher)}], "score"
    )
    return ScoreTable(header, [10 * (i + 1) for i in range(len(values))], numbers)


def chosen(values: list[list[list[float]]], higher: bool) -> tuple[int, int, float] | None:
    best = table(values, higher).best()
    return None if best is None else (best.iteration, best.parameters, best.value)


class TestBest:
    def test_mean_over_datasets(self) -> None:
        values = [[[1.0, 5.0], [4.0, 1.0]]]
        assert chosen(values, higher=False) == (10, 0, 2.5)
        assert chosen(values, higher=True) == (10, 1, 3.0)

    def test_failing_on_a_hard_dataset_does_not_help(self) -> None:
        assert chosen([[[1.0, 5.0], [NAN, NAN]]], higher=True) is None

    def test_a_missing_score_does_not_help(self) -> None:
        assert chosen([[[9.0, 2.0], [NAN, 2.0]]], higher=True) == (10, 1, 2.0)

    def test_no_scores(self) -> None:
        assert chosen([[[NAN, NAN]], [[NAN, NAN]]], higher=True) is None
        assert scores().best("voi") is None

    def test_among_some_iterations(self) -> None:
        every = table([[[1.0]], [[3.0]], [[2.0]]], higher=True)
        best = every.among([10, 30]).best()
        assert best is not None
        assert (best.iteration, best.index, best.value) == (30, 1, 2.0)
        assert every.among([]).best() is None

    def test_the_history_of_a_criterion(self) -> None:
        history = table([[[1.0, 2.0]], [[NAN, NAN]], [[0.5, 4.0]]], False).criterion_history()
        assert str(history.values) == str([1.0, NAN, 0.5])
        assert not history.higher_is_better

    def test_in_words(self) -> None:
        best = scores(10, 20).best("dice")
        assert best is not None
        assert (best.iteration, best.parameters) == (20, 2)
        assert best.text == "dice 20.070 with bias=0.9,mode=None"


def test_attributes_leave_out_what_files_cannot_hold() -> None:
    assert criterion_attributes(DiceAndVoi(), "voi") == {
        "higher_is_better": 0, "lower": 0.0, "units": "1", "long_name": "voi"
    }  # fmt: skip
    assert criterion_attributes(DiceAndVoi(), "dice")["upper"] == 1.0


def test_parameters_without_fields_of_their_own_are_told_apart_by_id() -> None:
    @dataclass
    class OnlyId(PostProcessorParameters):
        id: int

    some = ValidationScores([OnlyId(0), OnlyId(1)], [Named("a")], DiceAndVoi())
    assert some.parameter_names == []
    assert some.to_xarray()["parameters"].values.tolist() == ["id=0", "id=1"]
