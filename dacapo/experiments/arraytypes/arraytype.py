"""The array types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar


@dataclass(frozen=True)
class ArrayType:
    """Base of all array types."""

    interpolatable: ClassVar[bool]
    """Whether values between those of two voxels are meaningful."""

    @property
    def bounds(self) -> tuple[float, float] | None:
        """The lowest and the highest value; None if there are none."""
        return None


@dataclass(frozen=True)
class IntensitiesArray(ArrayType):
    """Measured intensities in [low, high]; `channels` names the stains."""

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
    """0 or 1, one channel per entry of `channels`."""

    interpolatable = False
    channels: Sequence[str] = ()


@dataclass(frozen=True)
class MaskArray(ArrayType):
    """Nonzero where the volume is annotated."""

    interpolatable = False


@dataclass(frozen=True)
class DistanceArray(ArrayType):
    """Signed distances to the border of each of `classes`, positive inside."""

    interpolatable = True
    classes: Sequence[str] = ()
    limit: float | None = None

    @property
    def bounds(self) -> tuple[float, float] | None:
        return None if self.limit is None else (-self.limit, self.limit)


@dataclass(frozen=True)
class EmbeddingArray(ArrayType):
    """A vector of `num_dims` entries, of which only relative positions are meaningful."""

    interpolatable = True
    num_dims: int = 0


@dataclass(frozen=True)
class ProbabilityArray(ArrayType):
    """In [0, 1], one channel per entry of `channels`."""

    interpolatable = True
    channels: Sequence[str] = ()

    @property
    def bounds(self) -> tuple[float, float]:
        return 0.0, 1.0
