"""A table of scores with a header that says what the numbers of a run mean."""

from __future__ import annotations

import json
import math
import re
import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from enum import Enum
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from dacapo.errors import InputError
from dacapo.experiments.criterion_history import CriterionHistory

Scores = np.ndarray[Any, np.dtype[np.float64]]


_LATER = ("settings", "facts")
_FEWEST_FOR_AN_ERROR = 3
_NAME = re.compile(r"[^\W\d][^/\x00-\x1f\ud800-\udfff]*")


class Rule(Enum):
    """How an iteration and a setting of the post-processor are selected."""

    best = "best"
    one_standard_error = "one_standard_error"


@dataclass(frozen=True)
class ScoreHeader:
    """Names along the axes of a run's scores.

    Attributes:
        datasets: names.
        parameters: label and fields of each setting of the post-processor.
        criteria: name and attributes of each criterion; `store_best`: shown in short tables.
        selected_by: the criterion that selects the best iteration and parameters.
        settings: what else decides scores: `task`, see `TaskConfig.scoring`, and `volumes`, which
            identifies the voxels of each dataset.
        facts: dataset -> `trivial`, criterion -> the score of segmentations that show nothing of
            it, null for NaN; and `has_background`, whether some is annotated.
    """

    datasets: Sequence[str]
    parameters: Sequence[dict[str, Any]]
    criteria: Sequence[dict[str, Any]]
    selected_by: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, int, int]:
        return len(self.datasets), len(self.parameters), len(self.criteria)

    def find(self, criterion: str | None = None) -> tuple[int, bool]:
        """Index of a criterion (default: the one that selects), and whether higher is better.

        Raises:
            InputError: the run was not scored by it.
        """
        name = criterion or self.selected_by
        names = [c["name"] for c in self.criteria]
        if name not in names:
            raise InputError(f"criterion={name}: choose from {', '.join(names)}")
        at = names.index(name)
        return at, bool(self.criteria[at]["higher_is_better"])

    @cached_property
    def axes(self) -> tuple[list[str], list[str], list[str]]:
        """The labels only: scores with equal labels can be compared number by number."""
        return (
            list(self.datasets),
            [p["label"] for p in self.parameters],
            [c["name"] for c in self.criteria],
        )

    @cached_property
    def scoring(self) -> str:
        """All but the parameters that decides a score: those of equal texts can be compared."""
        task = dict(self.settings.get("task", {}))
        task.pop("criterion", None)  # it decides which score selects, but no score
        if isinstance(processor := task.get("post_processor"), Mapping):
            tried = {name for setting in self.parameters for name in setting}
            task["post_processor"] = {k: v for k, v in processor.items() if k not in tried}
        datasets, _, criteria = self.axes
        return json.dumps([datasets, criteria, {**self.settings, "task": task}], sort_keys=True)

    @cached_property
    def evaluation(self) -> str:
        """The options that decide what a score means, whatever makes the segmentation."""
        task = dict(self.settings.get("task", {}))
        kept = {k: v for k, v in task.items() if k not in ("criterion", "post_processor")}
        return json.dumps([kept, self.settings.get("volumes", {})], sort_keys=True)

    def is_like(self, other: ScoreHeader) -> bool:
        """Whether numbers under one header have the same place and meaning under the other."""
        return self.axes == other.axes and self.scoring == other.scoring

    def encode(self) -> bytes:
        """As JSON; earlier logs have no settings and facts."""
        plain = {k: v for k, v in asdict(self).items() if k not in _LATER or v}
        return json.dumps(plain, sort_keys=True).encode()

    @staticmethod
    @lru_cache(maxsize=256)  # most runs of a folder have the same one
    def decode(payload: bytes) -> ScoreHeader:
        """The inverse of `encode`; what only a newer version knows is ignored.

        Raises:
            ValueError: the payload is not a header.
        """
        plain = json.loads(payload)
        try:
            names = [f.name for f in fields(ScoreHeader) if f.name not in _LATER]
            later = {name: plain.get(name, {}) for name in _LATER}
            header = ScoreHeader(**{name: plain[name] for name in names}, **later)
            header.check()
        except (TypeError, KeyError, AttributeError, InputError) as error:
            raise ValueError(f"not a header of scores: {error!r:.200}") from error
        return header

    def check(self) -> None:
        """Refuse a header whose numbers could be mistaken.

        Raises:
            ValueError: a name is not text or occurs twice, or a direction is neither 0 nor 1.
        """
        self.find()
        task = self.settings.get("task", {})
        if not isinstance(task, dict) or not isinstance(self.settings.get("volumes", {}), dict):
            raise ValueError(f"not a header of scores: its settings are {self.settings!r:.200}")
        if not all(isinstance(facts, dict) for facts in self.facts.values()):
            raise ValueError(f"not a header of scores: its facts are {self.facts!r:.200}")
        for names in (*self.axes, [self.selected_by]):
            if len(set(names)) < len(names) or not all(isinstance(name, str) for name in names):
                raise ValueError(f"not a header of scores: its names are {names!r:.200}")
        for criterion in self.criteria:
            name, direction = criterion["name"], criterion["higher_is_better"]
            if not _NAME.fullmatch(name) or direction not in (0, 1):
                raise ValueError(f"not a header of scores: {criterion!r:.200}")

    @cached_property
    def schema(self) -> int:
        """A checksum that identifies records of this header."""
        return zlib.crc32(self.encode())


def merged_header(headers: Sequence[ScoreHeader]) -> ScoreHeader:
    """The last header, with the parameters of those before it that scored in the same way."""
    last = headers[-1]
    alike = [h for h in headers if h.scoring == last.scoring]
    parameters = {p["label"]: p for header in alike for p in header.parameters}
    return replace(last, parameters=list(parameters.values()))


@dataclass(frozen=True)
class Best:
    """The best score of a run.

    Attributes:
        iteration: number of training steps of its weights.
        index: of that validation.
        parameters: index of the setting of the post-processor.
        value: the mean over the datasets.
        label: label of the setting.
        text: the criterion, its value and the setting in words.
        collapsed: how its segmentation shows nothing of the volumes, as far as scores tell: it
            found nothing, or is on no volume better than no object or one; empty if it does.
    """

    iteration: int
    index: int
    parameters: int
    value: float
    label: str
    text: str
    collapsed: str = ""


@dataclass(frozen=True)
class ScoreTable:
    """The scores of one run.

    Attributes:
        header: names along the axes.
        iterations: of the validations.
        values: (iterations, datasets, parameters, criteria), NaN for what could not be computed.
    """

    header: ScoreHeader
    iterations: Sequence[int]
    values: Scores

    @cached_property
    def means(self) -> Scores:
        """Over the datasets: (iterations, parameters, criteria).

        NaN if any dataset has no score, so that failing on a hard dataset does not help.
        """
        num_iterations, num_datasets, *rest = self.values.shape
        if not num_datasets:
            return np.full((num_iterations, *rest), np.nan)
        means: Scores = self.values.mean(axis=1)
        return means

    def among(self, iterations: Collection[int]) -> ScoreTable:
        """The table with only some of the validations."""
        kept = [at for at, iteration in enumerate(self.iterations) if iteration in iterations]
        return ScoreTable(self.header, [self.iterations[at] for at in kept], self.values[kept])

    def best(self, criterion: str | None = None, rule: Rule = Rule.best) -> Best | None:
        """The iteration and setting that are selected; None if every mean is NaN.

        The first of equal values wins.

        Args:
            criterion: which criterion to use; None: the one that selects.

        Raises:
            InputError: the rule needs more datasets.
        """
        at, higher = self.header.find(criterion)
        means = self.means[..., at]
        if means.size == 0 or np.isnan(means).all():
            return None
        worst = -np.inf if higher else np.inf
        filled = np.where(np.isnan(means), worst, means)
        flat = filled.argmax() if higher else filled.argmin()
        chosen = int(flat)
        if rule is Rule.one_standard_error:
            chosen = self._simplest(chosen, at, filled if higher else -filled)
        index, parameters = (int(i) for i in np.unravel_index(chosen, means.shape))
        value, label = float(means[index, parameters]), self.header.parameters[parameters]["label"]
        text = f"{criterion or self.header.selected_by} {value:.3f} with {label}"
        collapsed = self._collapsed(index, parameters, at)
        if collapsed:
            text += f", which {collapsed}"
        return Best(self.iterations[index], index, parameters, value, label, text, collapsed)

    def _simplest(self, best: int, criterion: int, goodness: Scores) -> int:
        """The first candidate that is within one standard error of the best; Breiman et al. 1984.

        Args:
            best: the position of the best in `goodness`, (iterations, parameters).
        """
        index, parameters = np.unravel_index(best, goodness.shape)
        scores = self.values[index, :, parameters, criterion]
        if len(scores) < _FEWEST_FOR_AN_ERROR:
            raise InputError(
                f"rule=one_standard_error needs {_FEWEST_FOR_AN_ERROR} or more validation volumes "
                f"to tell an error by; there are {len(scores)}"
            )
        error = scores.std(ddof=1) / math.sqrt(len(scores))
        return int(np.argmax(goodness.reshape(-1) >= goodness.reshape(-1)[best] - error))

    def _collapsed(self, index: int, parameters: int, criterion: int) -> str:
        if self._found_nothing(index, parameters):
            return "found nothing"
        name = self.header.criteria[criterion]["name"]
        higher = self.header.find(name)[1]
        scores = self.values[index, :, parameters, criterion]
        for dataset, score in zip(self.header.datasets, scores, strict=True):
            trivial = self.header.facts.get(dataset, {}).get("trivial", {}).get(name)
            if not isinstance(trivial, int | float):
                return ""
            if score > trivial if higher else score < trivial:
                return ""
        return "is no better than one object or none" if len(scores) else ""

    def _found_nothing(self, index: int, parameters: int) -> bool:
        """Whether a segmentation is background everywhere, as far as its scores tell."""
        names = [c["name"] for c in self.header.criteria]
        for name in ("num_segments", "precision"):
            if name in names:
                values = self.values[index, :, parameters, names.index(name)]
                return bool(
                    (values == 0).all() if name == "num_segments" else np.isnan(values).all()
                )
        return False

    def criterion_history(self, criterion: str | None = None) -> CriterionHistory:
        """The best mean at each validation; NaN if there is none."""
        at, higher = self.header.find(criterion)
        means = self.means[..., at]
        worst = -np.inf if higher else np.inf
        filled = np.where(np.isnan(means), worst, means)
        best = filled.max(axis=1, initial=worst) if higher else filled.min(axis=1, initial=worst)
        values = np.where(np.isnan(means).all(axis=1), math.nan, best)
        return CriterionHistory(values.tolist(), higher)


def column(values: Sequence[Any]) -> np.ndarray[Any, Any]:
    """Values of a parameter as netCDF and zarr can hold them: all numbers, or all texts.

    >>> column([1.0, None, 0.5]).tolist(), column(["a", None]).tolist()
    ([1.0, nan, 0.5], ['a', ''])
    """
    if all(v is None or isinstance(v, int | float) for v in values):
        return np.array([np.nan if v is None else +v for v in values])
    return texts(["" if v is None else str(v) for v in values])


def texts(values: Sequence[str]) -> np.ndarray[Any, Any]:
    """Labels as an array of strings, which may be empty."""
    return np.array(values, dtype=object if not values else str)
