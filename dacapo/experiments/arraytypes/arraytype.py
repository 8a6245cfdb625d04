"""The array types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar


@dataclass(frozen=True)
class ArrayType:
    """Base of all array types."""

    interpolatable: ClassVar[bool]
    """Whether a value between two voxels' values means something."""


@dataclass(frozen=True)
class IntensitiesArray(ArrayType):
    """What a detector measured; `channels` names the stains, values lie in [low, high]."""

    interpolatable = True
    channels: Sequence[str] = ()
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class AnnotationArray(ArrayType):
    """Ids of objects or classes; `classes` names the ids that are classes, 0 is background."""

    interpolatable = False
    classes: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class BinaryArray(ArrayType):
    """0 or 1, a channel each for `channels`."""

    interpolatable = False
    channels: Sequence[str] = ()


@dataclass(frozen=True)
class MaskArray(ArrayType):
    """Nonzero where something is known: annotated."""

    interpolatable = False


@dataclass(frozen=True)
class DistanceArray(ArrayType):
    """Signed distances to the border of each of `classes`, positive inside."""

    interpolatable = True
    classes: Sequence[str] = ()
    limit: float | None = None


@dataclass(frozen=True)
class EmbeddingArray(ArrayType):
    """A vector of `num_dims` whose direction, not whose entries, means something."""

    interpolatable = True
    num_dims: int = 0


@dataclass(frozen=True)
class ProbabilityArray(ArrayType):
    """In [0, 1], a channel each for `channels`."""

    interpolatable = True
    channels: Sequence[str] = ()
