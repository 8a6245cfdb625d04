"""The validation history of a run, as a labelled array."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from dacapo.experiments.criterion_history import CriterionHistory
from dacapo.experiments.score_table import Best, ScoreHeader, ScoreTable, column, texts
from dacapo.experiments.validation_iteration_scores import ValidationIterationScores

if TYPE_CHECKING:
    import xarray as xr

    from dacapo.experiments.tasks.evaluators.evaluator import EvaluationScores
    from dacapo.experiments.tasks.post_processors.post_processor import PostProcessorParameters


class Named(Protocol):
    """What scores need to know about a dataset."""

    @property
    def name(self) -> str: ...


@dataclass
class ValidationScores:
    """Scores by iteration, dataset, parameter and criterion.

    Attributes:
        parameters: the settings of the post-processor.
        datasets: the validation datasets.
        evaluation_scores: defines the criteria, and for each which direction is better.
        scores: the validations, in the order of their iterations.
    """

    parameters: Sequence[PostProcessorParameters]
    datasets: Sequence[Named]
    evaluation_scores: EvaluationScores
    scores: list[ValidationIterationScores] = field(default_factory=list)

    @property
    def criteria(self) -> list[str]:
        return list(_value(self.evaluation_scores.criteria))

    @property
    def parameter_names(self) -> list[str]:
        """Names of the post-processor's own parameters, such as `bias`."""
        names: list[str] = []
        for parameters in self.parameters:
            for name in _own_fields(parameters):
                if name not in names:
                    names.append(name)
        return names

    @property
    def parameter_labels(self) -> list[str]:
        """A label for each setting, such as `bias=0.5`."""
        return [_label(p) for p in self.parameters]

    def parameter_columns(self) -> dict[str, np.ndarray[Any, Any]]:
        """Parameter -> its value in each setting."""
        return {
            name: column([getattr(p, name, None) for p in self.parameters])
            for name in self.parameter_names
        }

    def subscores(self, iteration_scores: list[ValidationIterationScores]) -> ValidationScores:
        """A copy with other scores."""
        return ValidationScores(
            self.parameters, self.datasets, self.evaluation_scores, list(iteration_scores)
        )

    def add_iteration_scores(self, iteration_scores: ValidationIterationScores) -> None:
        """Append the next validation; a second one of the last iteration replaces it.

        Raises:
            AssertionError: it precedes the last one.
        """
        last = self.scores[-1].iteration if self.scores else -1
        if iteration_scores.iteration < last:
            raise AssertionError(
                f"validation scores of iteration {iteration_scores.iteration} come after those "
                f"of iteration {last}"
            )
        if self.scores and iteration_scores.iteration == last:
            self.scores.pop()
        self.scores.append(iteration_scores)

    def delete_after(self, iteration: int) -> None:
        """Drop the scores of weights trained beyond `iteration`."""
        self.scores = [s for s in self.scores if s.iteration <= iteration]

    def validated_until(self) -> int:
        """The largest iteration plus one; 0 if there are no scores."""
        return self.scores[-1].iteration + 1 if self.scores else 0

    def compare(
        self, existing_iteration_scores: list[ValidationIterationScores]
    ) -> tuple[bool, int]:
        """How to update scores stored elsewhere to agree with these, which take precedence.

        Returns:
            Whether to delete the existing scores first, and the iteration from which on to store
            the local ones.
        """
        if not existing_iteration_scores:
            return False, 0
        existing_until = max(s.iteration for s in existing_iteration_scores) + 1
        if existing_until > self.validated_until():
            return True, 0
        existing = {s.iteration: s.scores for s in existing_iteration_scores}
        for local in self.scores:
            if local.iteration in existing and not _equal(local.scores, existing[local.iteration]):
                return False, local.iteration
        return False, existing_until

    def to_xarray(self) -> xr.DataArray:
        """Scores with dims (iterations, datasets, parameters, criteria).

        Labels along `parameters` are strings like `bias=0.5`; each parameter is also a coordinate
        along that dimension.
        """
        import xarray as xr

        labels = self.parameter_labels
        shape = (len(self.scores), len(self.datasets), len(labels), len(self.criteria))
        values = np.array([s.scores for s in self.scores], dtype=float).reshape(shape)
        return xr.DataArray(
            values,
            dims=["iterations", "datasets", "parameters", "criteria"],
            coords={
                "iterations": np.array([s.iteration for s in self.scores], dtype=np.int64),
                "datasets": texts([d.name for d in self.datasets]),
                "parameters": texts(labels),
                "criteria": texts(self.criteria),
                **{k: ("parameters", v) for k, v in self.parameter_columns().items()},
            },
            name="scores",
        )

    def header(self, selected_by: str = "") -> ScoreHeader:
        """The names along the axes, as plain data."""
        columns = {k: v.tolist() for k, v in self.parameter_columns().items()}
        return ScoreHeader(
            [dataset.name for dataset in self.datasets],
            [
                {"label": label, **{name: values[i] for name, values in columns.items()}}
                for i, label in enumerate(self.parameter_labels)
            ],
            [
                {
                    "name": name,
                    "store_best": int(bool(self.evaluation_scores.store_best(name))),
                    **criterion_attributes(self.evaluation_scores, name),
                }
                for name in self.criteria
            ],
            selected_by,
        )

    def table(self) -> ScoreTable:
        """All scores with their header."""
        header = self.header()
        values = np.array([s.scores for s in self.scores], dtype=float)
        shape = (len(self.scores), *header.shape)
        return ScoreTable(header, [s.iteration for s in self.scores], values.reshape(shape))

    def best(self, criterion: str) -> Best | None:
        """The iteration and the parameters with the best mean over the datasets.

        None unless every dataset has a score.
        """
        return self.table().best(criterion)

    def criterion_history(self, criterion: str) -> CriterionHistory:
        """The best mean over the datasets at each validation; NaN if there is none."""
        return self.table().criterion_history(criterion)

    def get_best(self, data: xr.DataArray, dim: str) -> tuple[xr.DataArray, xr.DataArray]:
        """The best score along `dim`, each criterion in its own direction.

        Args:
            data: the result of `to_xarray`, or a selection from it with one or several criteria.
            dim: the dimension to choose along.

        Returns:
            The label along `dim` of the best score, and the score; both are NaN if all scores are
            NaN. The first of equal scores wins.
        """
        import xarray as xr

        if "criteria" in data.dims:
            each = [self.get_best(data.sel(criteria=c), dim) for c in data["criteria"].values]
            index, value = (xr.concat(part, "criteria") for part in zip(*each, strict=True))
            order = [d for d in data.dims if d != dim]
            return index.transpose(*order), value.transpose(*order)
        higher = bool(self.evaluation_scores.higher_is_better(str(data["criteria"].item())))
        axis = data.get_axis_num(dim)
        assert isinstance(axis, int)
        none = np.isnan(data.values).all(axis=axis)
        if data.sizes[dim] == 0:
            labels = value = np.full(none.shape, np.nan)
        else:
            worst = -np.inf if higher else np.inf
            filled = np.where(np.isnan(data.values), worst, data.values)
            at = filled.argmax(axis=axis) if higher else filled.argmin(axis=axis)
            value = np.take_along_axis(data.values, np.expand_dims(at, axis), axis).squeeze(axis)
            labels = data[dim].values[at]
        if none.any():
            labels = np.where(none, np.nan, np.asarray(labels, object))
            labels = labels.astype(float) if data[dim].dtype.kind in "iuf" else labels
        keep = {k: v for k, v in data.coords.items() if dim not in v.dims}
        dims = [d for d in data.dims if d != dim]
        return (
            xr.DataArray(labels, dims=dims, coords=keep, name=dim),
            xr.DataArray(value, dims=dims, coords=keep, name=data.name),
        )


def criterion_attributes(evaluation_scores: EvaluationScores, criterion: str) -> dict[str, Any]:
    """Direction, bounds (absent: unbounded), units and name of a criterion, as plain values."""
    lower, upper = evaluation_scores.bounds(criterion)
    attributes: dict[str, Any] = {
        "higher_is_better": int(bool(evaluation_scores.higher_is_better(criterion)))
    }
    for key, bound in (("lower", lower), ("upper", upper)):
        if bound is not None and np.isfinite(bound):
            attributes[key] = float(bound)
    units, long_name = evaluation_scores.describe(criterion)
    return {**attributes, "units": units, "long_name": long_name}


def _own_fields(parameters: Any) -> list[str]:
    names = (
        [f.name for f in fields(parameters)] if is_dataclass(parameters) else list(vars(parameters))
    )
    return [n for n in names if n != "id"]


def _label(parameters: Any) -> str:
    names = _own_fields(parameters) or [n for n in ("id",) if hasattr(parameters, n)]
    return ",".join(f"{n}={getattr(parameters, n)}" for n in names) or "none"


def _value(attribute: Any) -> Any:
    """The criteria, which may be a property or a method."""
    return attribute() if callable(attribute) else attribute


def _equal(one: list[list[list[float]]], other: list[list[list[float]]]) -> bool:
    a, b = np.asarray(one, float), np.asarray(other, float)
    return a.shape == b.shape and np.array_equal(a, b, equal_nan=True)
