"""Settings of the post-processors: each list is a set of values to try, all are combined."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dacapo.config import config
from dacapo.errors import InputError

if TYPE_CHECKING:
    from dacapo.experiments.tasks.post_processors.post_processor import PostProcessor
    from dacapo.experiments.tasks.post_processors.prediction_reader import PredictionReader

_KEY = "task.post_processor"


@dataclass(kw_only=True)
class PostProcessorConfig:
    """From a prediction to a segmentation."""

    min_size: list[int] = field(default_factory=lambda: [0])
    """Segments of fewer voxels do not stay; all values are tried."""

    def __post_init__(self) -> None:
        for key, values in vars(self).items():
            if not isinstance(values, list):
                continue
            if not values:
                raise InputError(f"{_KEY}.{key} is empty: give at least one value to try")
            if len(set(values)) < len(values):
                raise InputError(f"{_KEY}.{key}={values} has a value twice")
        if min(self.min_size) < 0:
            raise InputError(f"{_KEY}.min_size={self.min_size} must not be negative")


@dataclass(kw_only=True)
class AffinitiesPostProcessorConfig(PostProcessorConfig, ABC):
    """From affinities to segments."""

    @abstractmethod
    def build(self, neighborhood: Sequence[Sequence[int]]) -> PostProcessor[Any]:
        """For a prediction whose first channels are the affinities of these offsets."""


@config("task/post_processor")
@dataclass(kw_only=True)
class MutexWatershedConfig(AffinitiesPostProcessorConfig):
    """Mutex watershed: short-range affinities hold together, long-range ones keep apart."""

    bias: list[float] = field(default_factory=lambda: [0.3, 0.5, 0.7])
    """Short-range affinities above this attract, those below repel; all values are tried."""
    long_bias: list[float] = field(default_factory=lambda: [0.3, 0.5, 0.7])
    """The same for long-range affinities."""
    long_stride: int = 1
    """Use long-range affinities at every so many-th voxel along each axis: faster."""
    random_strides: bool = False
    """Use as many long-range affinities, but at random voxels, the same in each run."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.long_stride < 1:
            raise InputError(f"{_KEY}.long_stride={self.long_stride} must be at least 1")

    def build(self, neighborhood: Sequence[Sequence[int]]) -> PostProcessor[Any]:
        from dacapo.experiments.tasks.post_processors import MutexWatershedPostProcessor

        return MutexWatershedPostProcessor(
            neighborhood,
            self.bias,
            self.long_bias,
            self.min_size,
            self.long_stride,
            self.random_strides,
        )


@config("task/post_processor")
@dataclass(kw_only=True)
class AgglomerationConfig(AffinitiesPostProcessorConfig):
    """Watershed fragments, merged by the affinities between them."""

    threshold: list[float] = field(default_factory=lambda: [0.2, 0.4, 0.6, 0.8])
    """Fragments merge while the affinity between them is above 1 - threshold."""
    quantile: list[int | None] = field(default_factory=lambda: [None])
    """Of the affinities between two segments, in percent (null: their mean); all are tried."""
    low_threshold: float = 0.1
    """Affinities below it are not followed; a voxel with no other is background."""
    high_threshold: float = 0.999
    """Voxels with an affinity above it belong together at once."""
    per_section: bool = False
    """Fragments end at each section: for data whose sections are thick."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_between(self.threshold, "threshold", 0, 1)
        _check_between([self.high_threshold], "high_threshold", self.low_threshold, 1)
        _check_between([self.low_threshold], "low_threshold", 0, 1)
        from dacapo.ops.agglomeration import QUANTILES

        for quantile in self.quantile:
            if quantile is not None and quantile not in QUANTILES:
                raise InputError(
                    f"{_KEY}.quantile={self.quantile}: choose of {list(QUANTILES)} or null for the "
                    f"mean"
                )

    def build(self, neighborhood: Sequence[Sequence[int]]) -> PostProcessor[Any]:
        from dacapo.experiments.tasks.post_processors import AgglomerationPostProcessor

        for axis in range(len(neighborhood[0])):
            if not any(abs(o[axis]) == 1 and sum(map(abs, o)) == 1 for o in neighborhood):
                raise InputError(
                    f"task/post_processor=agglomeration needs an offset of one voxel along each "
                    f"axis; task.neighborhood has none along axis {axis}"
                )
        return AgglomerationPostProcessor(
            neighborhood,
            self.threshold,
            self.quantile,
            self.min_size,
            self.low_threshold,
            self.high_threshold,
            self.per_section,
        )


@dataclass(kw_only=True)
class MapsPostProcessorConfig(PostProcessorConfig, ABC):
    """From maps of classes or objects to a segmentation."""

    makes_objects = False

    @abstractmethod
    def build(self, maps: PredictionReader) -> PostProcessor[Any]:
        """For a prediction that is read this way."""


@config("task/post_processor")
@dataclass(kw_only=True)
class ThresholdConfig(MapsPostProcessorConfig):
    """Classes by a threshold, each by itself."""

    threshold: list[float] | None = None
    """What lies above it is inside; all values are tried (default: some that suit the task)."""

    def build(self, maps: PredictionReader) -> PostProcessor[Any]:
        from dacapo.experiments.tasks.post_processors import ThresholdPostProcessor

        return ThresholdPostProcessor(maps, self._thresholds(maps), self.min_size)

    def _thresholds(self, maps: PredictionReader) -> Sequence[float]:
        thresholds = maps.thresholds if self.threshold is None else self.threshold
        _check_between(thresholds, "threshold", maps.low, maps.high)
        return thresholds


@config("task/post_processor")
@dataclass(kw_only=True)
class ComponentsConfig(ThresholdConfig):
    """Each connected part above a threshold is an object."""

    makes_objects = True

    def build(self, maps: PredictionReader) -> PostProcessor[Any]:
        from dacapo.experiments.tasks.post_processors import ComponentsPostProcessor

        return ComponentsPostProcessor(maps, self._thresholds(maps), self.min_size)


@config("task/post_processor")
@dataclass(kw_only=True)
class WatershedConfig(ThresholdConfig):
    """Objects grow from seeds: seeded watershed."""

    seed_threshold: list[float] | None = None
    """Each connected part whose inside lies above it becomes an object; all values are tried
    (default: some that suit the task)."""

    makes_objects = True

    def build(self, maps: PredictionReader) -> PostProcessor[Any]:
        from dacapo.experiments.tasks.post_processors import WatershedPostProcessor

        seeds = maps.seed_thresholds if self.seed_threshold is None else self.seed_threshold
        _check_between(seeds, "seed_threshold", maps.low, maps.high)
        return WatershedPostProcessor(maps, self._thresholds(maps), seeds, self.min_size)


@config("task/post_processor")
@dataclass(kw_only=True)
class ArgmaxConfig(MapsPostProcessorConfig):
    """The most probable class of those that exclude each other."""

    def build(self, maps: PredictionReader) -> PostProcessor[Any]:
        from dacapo.experiments.tasks.post_processors import ArgmaxPostProcessor

        if not maps.exclusive:
            raise InputError(
                "task/post_processor=argmax needs classes that exclude each other: task=one_hot"
            )
        return ArgmaxPostProcessor(self.min_size)


def _check_between(values: Sequence[float], key: str, low: float, high: float) -> None:
    for value in values:
        if not low < value < high:
            raise InputError(
                f"{_KEY}.{key}={value} must lie between {low:g} and {high:g}, the range of what is "
                f"predicted"
            )
