"""Turning a prediction into what people want."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np

Volume = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, eq=False)
class Merged:
    """A segmentation as fragments and the segment that each belongs to.

    Attributes:
        fragments: (*spatial), numbers from 0 on; the same array for all settings that share it.
        segment: for each number its segment, 0 for 0.
    """

    fragments: Volume
    segment: Volume

    def volume(self) -> Volume:
        """The segmentation (*spatial)."""
        return self.segment[self.fragments]


class PostProcessorParameters:
    """One setting of a post-processor; subclasses are dataclasses, frozen or not, with its fields.

    A field `id`, where there is one, numbers the settings and is no parameter.
    """


P = TypeVar("P", bound=PostProcessorParameters)


class PostProcessor(ABC, Generic[P]):
    """Makes segmentations of one prediction, one for each setting of its parameters."""

    @abstractmethod
    def enumerate_parameters(self) -> Sequence[P]:
        """Every setting that validation tries, always in the same order."""

    @abstractmethod
    def process(self, prediction: Volume, parameters: P) -> Volume:
        """The segmentation of a prediction (C, *spatial), unsigned integers.

        (*spatial) of objects or of classes that exclude each other, 0 where there is none; or
        (K, *spatial) of 0 and 1, one channel a class.
        """

    def process_all(self, prediction: Volume) -> Iterator[tuple[P, Volume | Merged]]:
        """Every setting's segmentation; what settings share is computed once."""
        for parameters in self.enumerate_parameters():
            yield parameters, self.process(prediction, parameters)
