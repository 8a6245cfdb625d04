"""Post-processors for maps of classes or objects."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from dacapo.config import config, ranged
from dacapo.errors import InputError
from dacapo.experiments.tasks.post_processors.post_processor import (
    GridPostProcessor,
    PostProcessorConfig,
    Setting,
    Stage,
    Values,
    stage,
)

if TYPE_CHECKING:
    from dacapo.experiments.tasks.post_processors.blockwise import Blockwise
    from dacapo.experiments.tasks.post_processors.post_processor import Volume


@dataclass(frozen=True)
class PredictionReader:
    """Reads the channels of a prediction (C, *spatial) as maps of classes or of objects.

    Attributes:
        names: names of the classes.
        classes: prediction -> (K, *spatial), one map per class, high inside.
        interior: prediction -> (*spatial), high deep inside an object, low where two touch.
        thresholds, seed_thresholds: defaults for `classes` and `interior`; all are tried.
        low, high: the range of the values.
        exclusive: whether the channels are background and mutually exclusive classes.
    """

    names: Sequence[str]
    classes: Callable[[Volume], Volume]
    interior: Callable[[Volume], Volume]
    thresholds: Sequence[float] = (0.3, 0.5, 0.7)
    seed_thresholds: Sequence[float] = (0.4, 0.6, 0.8)
    low: float = 0.0
    high: float = 1.0
    exclusive: bool = False


@dataclass(kw_only=True)
class MapsPostProcessor(PostProcessorConfig):
    """Post-processors for maps of classes or objects."""

    makes_objects: ClassVar[bool] = False

    @abstractmethod
    def stages(self, reader: PredictionReader) -> list[Stage]:
        """Set how the prediction is read."""

    @abstractmethod
    def blockwise(self, reader: PredictionReader, setting: Setting) -> Blockwise:
        """One setting, for volumes larger than memory."""

    def build(self, reader: PredictionReader) -> GridPostProcessor:
        return GridPostProcessor(
            self.stages(reader), lambda setting: self.blockwise(reader, setting)
        )


@config("task/post_processor")
@dataclass(kw_only=True)
class Threshold(MapsPostProcessor):
    """Threshold each class separately; connected components that are too small are dropped."""

    threshold: list[float] | None = None
    """Values above this are inside; all are tried (default: values that suit the task)."""

    def stages(self, reader: PredictionReader) -> list[Stage]:
        def inside(prediction: Volume, threshold: float) -> Volume:
            return reader.classes(prediction) > threshold

        return [
            stage(inside, threshold=self.thresholds(reader)),
            Stage(_large_parts, {"min_size": self.min_size}),
        ]

    def blockwise(self, reader: PredictionReader, setting: Setting) -> Blockwise:
        from dacapo.experiments.tasks.post_processors.blockwise import ComponentBlocks

        return ComponentBlocks(
            lambda prediction: reader.classes(prediction) > setting.threshold,
            setting.min_size,
            "masks",
            len(reader.names),
        )

    def thresholds(self, reader: PredictionReader) -> Sequence[float]:
        """The thresholds that are tried."""
        return self._chosen("threshold", self.threshold, reader.thresholds, reader)

    def _chosen(
        self, name: str, values: list[float] | None, default: Sequence[float], r: PredictionReader
    ) -> Sequence[float]:
        for value in values or ():
            if not r.low < value < r.high:
                raise InputError(
                    f"{self.config_key()}.{name}={value} must lie between {r.low:g} and "
                    f"{r.high:g}, the range of the predicted values"
                )
        return default if values is None else values


@config("task/post_processor")
@dataclass(kw_only=True)
class Components(Threshold):
    """Each connected component of the interior above a threshold is an object."""

    makes_objects = True

    min_size: list[int] = ranged([0, 64], low=0)

    def stages(self, reader: PredictionReader) -> list[Stage]:
        def objects(prediction: Volume, threshold: float) -> Volume:
            from dacapo.ops.components import components

            return components(reader.interior(prediction) > threshold)

        return [
            stage(objects, threshold=self.thresholds(reader)),
            stage(_keep_large, min_size=self.min_size),
        ]

    def blockwise(self, reader: PredictionReader, setting: Setting) -> Blockwise:
        return _interior_above(reader, setting.threshold, setting.min_size)


@config("task/post_processor")
@dataclass(kw_only=True)
class Watershed(Threshold):
    """Objects grow from seeds: seeded watershed on the interior of objects. Meyer 1991."""

    makes_objects = True

    seed_threshold: list[float] | None = None
    """Each connected component of the interior above this is a seed; all values are tried (default:
    values that suit the task)."""
    min_size: list[int] = ranged([0, 64], low=0)

    def stages(self, reader: PredictionReader) -> list[Stage]:
        seeds = self._chosen("seed_threshold", self.seed_threshold, reader.seed_thresholds, reader)

        def seed(prediction: Volume, seed_threshold: float) -> tuple[Volume, ...]:
            from dacapo.ops.components import components

            interior = reader.interior(prediction)
            return reader.classes(prediction)[0], interior, components(interior > seed_threshold)

        def flood(before: tuple[Volume, ...], threshold: float) -> Volume:
            from dacapo.ops.watershed import seeded_watershed

            foreground, interior, seeds = before
            return seeded_watershed(interior, seeds, foreground > threshold)

        return [
            stage(seed, seed_threshold=seeds),
            stage(flood, threshold=self.thresholds(reader)),
            stage(_keep_large, min_size=self.min_size),
        ]

    def blockwise(self, reader: PredictionReader, setting: Setting) -> Blockwise:
        from dacapo.experiments.tasks.post_processors.blockwise import WatershedBlocks

        return WatershedBlocks(
            _interior_above(reader, setting.seed_threshold),
            reader.interior,
            lambda prediction: reader.classes(prediction)[0] > setting.threshold,
            setting.min_size,
        )


@config("task/post_processor")
@dataclass(kw_only=True)
class Argmax(MapsPostProcessor):
    """The most probable of mutually exclusive classes; 0 is background.

    Connected components of a class that are too small become background.
    """

    def stages(self, reader: PredictionReader) -> list[Stage]:
        if not reader.exclusive:
            raise InputError(
                "task/post_processor=argmax needs mutually exclusive classes: choose task=one_hot"
            )
        return [
            stage(lambda prediction: prediction.argmax(axis=0).astype("uint16")),
            stage(_without_small_classes, min_size=self.min_size),
        ]

    def blockwise(self, reader: PredictionReader, setting: Setting) -> Blockwise:
        from dacapo.experiments.tasks.post_processors.blockwise import ComponentBlocks

        return ComponentBlocks(
            lambda prediction: prediction.argmax(axis=0)[None],
            setting.min_size,
            "classes",
        )


def _interior_above(reader: PredictionReader, threshold: float, min_size: int = 0) -> Blockwise:
    from dacapo.experiments.tasks.post_processors.blockwise import ComponentBlocks

    return ComponentBlocks(lambda p: reader.interior(p)[None] > threshold, min_size)


def _keep_large(objects: Volume, min_size: int) -> Volume:
    from dacapo.ops.components import keep_large

    return keep_large(objects, min_size)


def _large_parts(inside: Volume, settings: Sequence[Values]) -> Iterator[Volume]:
    """The large components of each class (K, *spatial); components are found once for all sizes."""
    import numpy as np

    from dacapo.ops.components import components, keep_large

    sizes = [s["min_size"] for s in settings]
    parts = [components(channel) if max(sizes) > 1 else channel for channel in inside]
    for size in sizes:
        yield np.stack([keep_large(part, size) != 0 for part in parts]).astype(np.uint8)


def _without_small_classes(winner: Volume, min_size: int) -> Volume:
    import numpy as np

    from dacapo.ops.components import without_small

    if min_size <= 1:
        return winner
    out = np.zeros_like(winner)
    for number in range(1, int(winner.max(initial=0)) + 1):
        out[without_small(winner == number, min_size)] = number
    return out
