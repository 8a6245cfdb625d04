"""What the numbers in a run's log mean."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from dacapo.errors import InputError
from dacapo.experiments.validation_scores import ValidationScores, criterion_attributes


@dataclass(frozen=True)
class Header:
    """Names along the axes of a run's scores.

    Attributes:
        datasets: names.
        parameters: label and fields of each setting of the post-processor.
        criteria: name and attributes of each score; `store_best`: it belongs in a short table.
        selected_by: the criterion that selects the best iteration and parameters.
    """

    datasets: Sequence[str]
    parameters: Sequence[dict[str, Any]]
    criteria: Sequence[dict[str, Any]]
    selected_by: str

    @classmethod
    def of(cls, scores: ValidationScores, selected_by: str) -> Header:
        """The header of a run's scores."""
        columns = {k: v.tolist() for k, v in scores.parameter_columns().items()}
        return cls(
            [dataset.name for dataset in scores.datasets],
            [
                {"label": label, **{name: values[i] for name, values in columns.items()}}
                for i, label in enumerate(scores.parameter_labels)
            ],
            [
                {
                    "name": name,
                    "store_best": int(bool(scores.evaluation_scores.store_best(name))),
                    **criterion_attributes(scores.evaluation_scores, name),
                }
                for name in scores.criteria
            ],
            selected_by,
        )

    @property
    def shape(self) -> tuple[int, int, int]:
        return len(self.datasets), len(self.parameters), len(self.criteria)

    @property
    def selects(self) -> tuple[int, bool]:
        """Index of the criterion that selects, and whether higher is better by it."""
        return self.selects_by(self.selected_by)

    def selects_by(self, criterion: str) -> tuple[int, bool]:
        """Index of a criterion, and whether higher is better by it.

        Raises:
            InputError: the run was not scored by it.
        """
        names = [c["name"] for c in self.criteria]
        if criterion not in names:
            raise InputError(f"criterion={criterion}: the run has {', '.join(names)}")
        at = names.index(criterion)
        return at, bool(self.criteria[at]["higher_is_better"])

    @property
    def axes(self) -> tuple[list[str], list[str], list[str]]:
        """The labels alone: scores of equal axes can stand beside each other."""
        return (
            list(self.datasets),
            [p["label"] for p in self.parameters],
            [c["name"] for c in self.criteria],
        )

    def encode(self) -> bytes:
        """As JSON."""
        return json.dumps(asdict(self), sort_keys=True).encode()

    @classmethod
    def decode(cls, payload: bytes) -> Header:
        """The inverse of `encode`."""
        return cls(**json.loads(payload))

    @property
    def schema(self) -> int:
        """Tells records of this header from those of others."""
        return zlib.crc32(self.encode())
