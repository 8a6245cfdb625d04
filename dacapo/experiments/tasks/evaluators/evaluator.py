"""Criteria with their directions and bounds, and the scores of a segmentation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isnan, nan
from typing import Any, ClassVar

import numpy as np

from dacapo.errors import InputError, did_you_mean
from dacapo.ops.run_length import Skeletons

Volume = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Criterion:
    """A criterion: its direction, its true bounds, its unit.

    Attributes:
        headline: whether it is shown in tables, and its best weights are worth keeping.
        selects: whether it can tell which of two segmentations is better.
    """

    name: str
    higher_is_better: bool
    lower: float
    upper: float
    units: str
    long_name: str
    headline: bool = False
    selects: bool = True


class EvaluationScores(ABC):
    """The scores of one segmentation; each is an attribute with the name of its criterion."""

    @property
    @abstractmethod
    def criteria(self) -> Sequence[str]: ...

    @abstractmethod
    def higher_is_better(self, criterion: str) -> bool: ...

    @abstractmethod
    def bounds(self, criterion: str) -> tuple[float, float]:
        """The lowest and the highest possible value; infinite if unbounded."""

    @abstractmethod
    def store_best(self, criterion: str) -> bool:
        """Whether the best weights by this criterion are worth keeping."""

    def describe(self, criterion: str) -> tuple[str, str]:
        """The unit of a criterion and its name in words."""
        return "1", criterion.replace("_", " ")

    def selects(self, criterion: str) -> bool:
        """Whether the criterion can tell which of two segmentations is better."""
        return True


class Scores(EvaluationScores):
    """Scores by a table of criteria; a score is an attribute: `scores.voi`.

    Args:
        table: the criteria, in the order in which they are shown.
        values: criterion -> value; NaN for those that are left out.
        reasons: criterion -> why its value is NaN.
    """

    def __init__(
        self,
        table: Sequence[Criterion],
        values: Mapping[str, float] | None = None,
        reasons: Mapping[str, str] | None = None,
    ) -> None:
        self._table = {c.name: c for c in table}
        self._values = {name: float((values or {}).get(name, nan)) for name in self._table}
        self._reasons = dict(reasons or {})

    def __getattr__(self, name: str) -> float:
        values: dict[str, float] = self.__dict__.get("_values", {})
        if name in values:
            return values[name]
        raise AttributeError(f"no score {name!r}; there are {', '.join(values)}")

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Scores)
            and list(self._values) == list(other._values)
            and np.array_equal(
                list(self._values.values()), list(other._values.values()), equal_nan=True
            )
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return ", ".join(f"{name}={value:.4g}" for name, value in self._values.items())

    @property
    def criteria(self) -> Sequence[str]:
        return list(self._table)

    def higher_is_better(self, criterion: str) -> bool:
        return self._table[criterion].higher_is_better

    def bounds(self, criterion: str) -> tuple[float, float]:
        return self._table[criterion].lower, self._table[criterion].upper

    def store_best(self, criterion: str) -> bool:
        return self._table[criterion].headline

    def describe(self, criterion: str) -> tuple[str, str]:
        return self._table[criterion].units, self._table[criterion].long_name

    def selects(self, criterion: str) -> bool:
        return self._table[criterion].selects

    def reason(self, criterion: str) -> str:
        """Why a score is NaN; empty if it is a number."""
        return self._reasons.get(criterion, "") if isnan(self._values[criterion]) else ""


@dataclass(frozen=True)
class GroundTruth:
    """The ground truth with which segmentations are compared.

    Attributes:
        gt: (*spatial), label ids as stored in the file.
        mask: nonzero where annotated: (*spatial), or (K, *spatial) if classes are annotated
            separately; None: everywhere.
        voxel_size: per axis, z first, in nm, or in pixels for data without a physical size; None: 1
            along all axes.
        skeletons: their positions in voxels of `gt`.
    """

    gt: Volume
    mask: Volume | None = None
    voxel_size: Sequence[float] | None = None
    skeletons: Skeletons | None = None


class Evaluator(ABC):
    """Compares a segmentation with ground truth."""

    reads_lookups: ClassVar[bool] = False
    """Whether `against` also scores a `LookupSegmentation` directly."""

    @property
    @abstractmethod
    def evaluation_scores(self) -> EvaluationScores:
        """An instance without values, which lists the criteria."""

    @abstractmethod
    def evaluate(self, output: Volume, gt: Volume, mask: Volume | None = None) -> EvaluationScores:
        """Scores of an output against ground truth; voxels where the mask is 0 are ignored."""

    def against(self, ground_truth: GroundTruth) -> Callable[[Any], EvaluationScores]:
        """A function that scores outputs one by one; what they share is computed once."""
        return lambda output: self.evaluate(output, ground_truth.gt, ground_truth.mask)

    def perfect(self, gt: Volume) -> Volume | None:
        """The best possible output; None: unknown."""
        return None

    def trivial(self, gt: Volume) -> Sequence[Volume]:
        """Outputs that show nothing of what is in a volume; empty: unknown."""
        return []

    def shown(self, gt: Volume, output: Volume) -> tuple[Volume, Volume]:
        """Ground truth and an output as labels (*spatial), for pictures."""
        return gt, output


def check_criterion(evaluator: Evaluator, criterion: str) -> None:
    """Refuse a criterion that the evaluator does not compute, or that selects nothing."""
    scores = evaluator.evaluation_scores
    known = [c for c in scores.criteria if scores.selects(c)]
    if criterion not in known:
        raise InputError(
            f"task.criterion={criterion}: there is no such score{did_you_mean(criterion, known)}\n"
            f"  choose from {', '.join(known)}"
        )
