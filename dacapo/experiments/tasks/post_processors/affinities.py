"""From affinities to segments."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dacapo.config import config, ranged
from dacapo.errors import InputError
from dacapo.experiments.tasks.post_processors.post_processor import (
    GridPostProcessor,
    LookupSegmentation,
    PostProcessorConfig,
    Setting,
    Stage,
    Values,
    stage,
)

if TYPE_CHECKING:
    from dacapo.experiments.tasks.post_processors.blockwise import AffinityBlocks, Place
    from dacapo.experiments.tasks.post_processors.post_processor import Volume
    from dacapo.ops.region_graph import Reduction

Offsets = Sequence[Sequence[int]]


@dataclass(kw_only=True)
class AffinitiesPostProcessor(PostProcessorConfig):
    """From affinities to segments."""

    @abstractmethod
    def stages(self, neighborhood: Offsets) -> list[Stage]:
        """For a prediction whose first channels are the affinities of these offsets."""

    @abstractmethod
    def blockwise(self, neighborhood: Offsets, setting: Setting) -> AffinityBlocks:
        """One setting, for volumes larger than memory."""

    def build(self, neighborhood: Offsets) -> GridPostProcessor:
        return GridPostProcessor(
            self.stages(neighborhood), lambda setting: self.blockwise(neighborhood, setting)
        )


@config("task/post_processor")
@dataclass(kw_only=True)
class MutexWatershed(AffinitiesPostProcessor):
    """Mutex watershed: short-range affinities attract, long-range ones repel.

    Wolf et al. 2018. Segments that are too small are absorbed by their neighbours.
    """

    bias: list[float] = ranged([0.3, 0.5, 0.7], low=0, high=1)
    """Short-range affinities (offsets of one voxel) above this attract, those below repel; all
    values are tried."""
    long_bias: list[float] = ranged([0.3, 0.5, 0.7], low=0, high=1)
    """Long-range affinities above this attract, those below repel; all values are tried."""
    long_stride: int = ranged(2, low=1)
    """Use long-range affinities only at every n-th voxel along each axis, which is faster."""
    random_strides: bool = False
    """Use as many long-range affinities at random voxels instead, the same in each run."""
    min_size: list[int] = ranged([0, 64], low=0)
    """Segments with fewer voxels are absorbed by their neighbours; all values are tried."""

    def stages(self, neighborhood: Offsets) -> list[Stage]:
        def segment(affinities: Volume, bias: float, long_bias: float) -> Volume:
            return self._segment(affinities, neighborhood, bias, long_bias)

        return [
            stage(lambda prediction: prediction[: len(neighborhood)]),
            stage(segment, releases_lock=True, bias=self.bias, long_bias=self.long_bias),
            stage(_absorb_small, min_size=self.min_size),
        ]

    def blockwise(self, neighborhood: Offsets, setting: Setting) -> AffinityBlocks:
        """What is certain of a block is joined by a mutex watershed on the strongest edges between
        fragments, which are those that decide: the result is that of the whole volume."""
        from dacapo.experiments.tasks.post_processors.blockwise import AffinityBlocks

        bias, long_bias = setting.bias, setting.long_bias

        strides = [self.long_stride if _is_long(offset) else 1 for offset in neighborhood]

        def cut(prediction: Volume, place: Place) -> tuple[Volume, Volume]:
            from dacapo.ops.mutex_watershed import mutex_watershed_of_part

            labels, may_grow = mutex_watershed_of_part(
                _biased(prediction[: len(neighborhood)], neighborhood, bias, long_bias),
                neighborhood,
                [[stride] * len(place.corner) for stride in strides],
                self.random_strides,
                place.corner,
                place.whole,
            )
            return labels, ~may_grow

        def weigh(channel: int, affinities: Volume) -> dict[str, Volume]:
            weights = affinities - (long_bias if _is_long(neighborhood[channel]) else bias)
            return {"attraction": weights, "repulsion": -weights}

        def join(count: int, pairs: Volume, columns: Mapping[str, Volume]) -> Volume:
            import numpy as np

            from dacapo.ops.region_graph import mutex_watershed_on_graph

            attraction, repulsion = columns["attraction"], columns["repulsion"]
            attracts, repels = attraction > 0, repulsion > 0
            weights = np.concatenate([attraction[attracts], -repulsion[repels]])
            both = np.concatenate([pairs[attracts], pairs[repels]])
            return mutex_watershed_on_graph(count, both, weights)

        how: dict[str, Reduction] = {"attraction": "max", "repulsion": "max"}
        return AffinityBlocks(
            neighborhood, strides, how, cut, weigh, join, setting.min_size,
            draws=self.random_strides,
            decided_by=(),  # what is certain to be too small is no fragment
        )  # fmt: skip

    def _segment(
        self, affinities: Volume, neighborhood: Offsets, bias: float, long_bias: float
    ) -> Volume:
        from dacapo.ops.mutex_watershed import mutex_watershed

        is_long = [_is_long(offset) for offset in neighborhood]
        strides = [[self.long_stride if far else 1] * len(neighborhood[0]) for far in is_long]
        weights = _biased(affinities, neighborhood, bias, long_bias)
        return mutex_watershed(weights, neighborhood, strides, random_strides=self.random_strides)


@config("task/post_processor")
@dataclass(kw_only=True)
class Agglomeration(AffinitiesPostProcessor):
    """Watershed fragments, agglomerated by the affinities between them.

    Segments that are too small are absorbed by their neighbours.
    """

    threshold: list[float] = ranged([0.2, 0.4, 0.6, 0.8], above=0, below=1)
    """Fragments merge while the affinity between them is above 1 - threshold."""
    quantile: list[int | None] = ranged([None])
    """Quantile of the affinities between two segments, in percent (null: their mean); all are
    tried."""
    low_threshold: float = ranged(0.1, above=0, below=1)
    """Affinities below this are ignored; a voxel without others is background."""
    high_threshold: float = ranged(0.999, above=0, below=1)
    """Voxels with an affinity above this are joined immediately."""
    per_section: bool = False
    """Restrict fragments to one section each, for data with thick sections."""
    min_size: list[int] = ranged([0, 64], low=0)
    """Segments with fewer voxels are absorbed by their neighbours; all values are tried."""

    def __post_init__(self) -> None:
        super().__post_init__()
        key = self.config_key()
        if self.high_threshold <= self.low_threshold:
            raise InputError(
                f"{key}.high_threshold={self.high_threshold} must be greater than "
                f"{key}.low_threshold={self.low_threshold}"
            )
        known = range(10, 100, 5)  # the quantiles that waterz has compiled, see `dacapo.ops`
        if any(q is not None and q not in known for q in self.quantile):
            raise InputError(
                f"{key}.quantile={self.quantile}: choose from {list(known)} or null for the mean"
            )

    def stages(self, neighborhood: Offsets) -> list[Stage]:
        steps = _unit_steps(neighborhood, "agglomeration")

        def cut(prediction: Volume) -> tuple[Volume, Volume]:
            affinities = _to_next_voxel(prediction, steps)
            return affinities, self._fragments(affinities)

        def merge(before: Any, settings: Sequence[Values]) -> Iterator[LookupSegmentation]:
            from dacapo.ops.agglomeration import agglomerate

            affinities, parts, quantile = before
            thresholds = [s["threshold"] for s in settings]
            for lookup in agglomerate(affinities, parts, thresholds, quantile):
                yield LookupSegmentation(parts, lookup)

        return [
            stage(cut),
            stage(lambda before, quantile: (*before, quantile), quantile=self.quantile),
            # One agglomeration passes all thresholds, in rising order.
            Stage(merge, {"threshold": sorted(self.threshold)}),
            stage(_absorb_small, min_size=self.min_size),
        ]

    def blockwise(self, neighborhood: Offsets, setting: Setting) -> AffinityBlocks:
        """Fragments of blocks are agglomerated by the mean affinity between them."""
        from dacapo.experiments.tasks.post_processors.blockwise import AffinityBlocks

        if setting.quantile is not None:
            raise InputError(
                f"quantile={setting.quantile}: block by block, fragments are joined by the mean of "
                f"their affinities: parameters={{quantile: null}}"
            )
        steps = _unit_steps(neighborhood, "agglomeration")

        def cut(prediction: Volume, place: Place) -> tuple[Volume, None]:
            return self._fragments(_to_next_voxel(prediction, steps)), None

        def weigh(channel: int, affinities: Volume) -> dict[str, Volume]:
            return {"sum": affinities, "size": affinities * 0 + 1}

        def join(count: int, pairs: Volume, columns: Mapping[str, Volume]) -> Volume:
            from dacapo.ops.region_graph import agglomerate_graph

            sums, sizes = columns["sum"], columns["size"]
            return next(agglomerate_graph(count, pairs, sums, sizes, [setting.threshold]))

        how: dict[str, Reduction] = {"sum": "sum", "size": "sum"}
        return AffinityBlocks(
            _offsets(steps), [1] * len(steps), how, cut, weigh, join, setting.min_size,
            [channel for channel, _ in steps], stitches=True, decided_by=("threshold", "min_size"),
        )  # fmt: skip

    def _fragments(self, affinities: Volume) -> Volume:
        from dacapo.ops.agglomeration import fragments

        return fragments(affinities, self.low_threshold, self.high_threshold, self.per_section)


@config("task/post_processor")
@dataclass(kw_only=True)
class AffinityComponents(AffinitiesPostProcessor):
    """Voxels whose short-range affinities are above a threshold are connected.

    The segmentation of the NISB benchmark's baseline. Voxels without a connection are background;
    segments that are too small are absorbed by their neighbours.
    """

    threshold: list[float] = ranged([0.5, 0.7, 0.8, 0.9, 0.95, 0.98], above=0, below=1)
    """Neighbouring voxels are connected where their affinity is above this; all values are
    tried."""
    min_size: list[int] = ranged([0], low=0)
    """Segments with fewer voxels are absorbed by their neighbours; all values are tried."""

    def stages(self, neighborhood: Offsets) -> list[Stage]:
        steps = _unit_steps(neighborhood, "affinity_components")
        return [
            stage(lambda prediction: _to_next_voxel(prediction, steps)),
            stage(_connected_above, releases_lock=True, threshold=self.threshold),
            stage(_absorb_small, min_size=self.min_size),
        ]

    def blockwise(self, neighborhood: Offsets, setting: Setting) -> AffinityBlocks:
        """The components of blocks are connected where any affinity between them is."""
        from dacapo.experiments.tasks.post_processors.blockwise import AffinityBlocks

        steps = _unit_steps(neighborhood, "affinity_components")

        def cut(prediction: Volume, place: Place) -> tuple[Volume, None]:
            return _connected_above(_to_next_voxel(prediction, steps), setting.threshold), None

        def weigh(channel: int, affinities: Volume) -> dict[str, Volume]:
            return {"connected": (affinities > setting.threshold) * 1.0}

        def join(count: int, pairs: Volume, columns: Mapping[str, Volume]) -> Volume:
            from dacapo.ops.region_graph import joined

            return joined(count, pairs[columns["connected"] > 0])

        how: dict[str, Reduction] = {"connected": "max"}
        return AffinityBlocks(
            _offsets(steps), [1] * len(steps), how, cut, weigh, join, setting.min_size,
            [channel for channel, _ in steps],
        )  # fmt: skip


def _connected_above(affinities: Volume, threshold: float) -> Volume:
    from dacapo.ops.components import connected_voxels

    return connected_voxels(affinities > threshold)


def _biased(affinities: Volume, neighborhood: Offsets, bias: float, long_bias: float) -> Volume:
    """Weights that attract above 0 and repel below."""
    import numpy as np

    is_long = [_is_long(offset) for offset in neighborhood]
    biases = np.where(is_long, long_bias, bias).astype(np.float32)
    return affinities - biases.reshape(-1, *[1] * (affinities.ndim - 1))


def _is_long(offset: Sequence[int]) -> bool:
    return sum(map(abs, offset)) > 1


def _absorb_small(
    segments: Volume | LookupSegmentation, min_size: int
) -> Volume | LookupSegmentation:
    from dacapo.ops.fragments import absorb_small

    if min_size <= 1:
        return segments
    whole = segments.volume() if isinstance(segments, LookupSegmentation) else segments
    return absorb_small(whole, min_size)


def _unit_steps(neighborhood: Offsets, name: str) -> list[tuple[int, bool]]:
    """For each axis the channel whose offset is one voxel, and whether it points forward.

    Args:
        name: of the post-processor, for messages.

    Raises:
        InputError: an axis has no such channel.
    """
    steps = []
    for axis in range(len(neighborhood[0])):
        forward = [int(a == axis) for a in range(len(neighborhood[0]))]
        offsets = [list(o) for o in neighborhood]
        backward = [-step for step in forward]
        if forward not in offsets and backward not in offsets:
            raise InputError(
                f"task/post_processor={name} needs an offset of one voxel along each "
                f"axis; task.neighborhood has none along axis {axis}"
            )
        is_forward = forward in offsets
        steps.append((offsets.index(forward if is_forward else backward), is_forward))
    return steps


def _offsets(steps: Sequence[tuple[int, bool]]) -> list[list[int]]:
    """The offset of each step, see `_unit_steps`."""
    return [
        [int(a == b) * (1 if forward else -1) for b in range(len(steps))]
        for a, (_, forward) in enumerate(steps)
    ]


def _to_next_voxel(prediction: Volume, steps: Sequence[tuple[int, bool]]) -> Volume:
    """(dims, *spatial), each affinity to the next voxel along its axis."""
    import numpy as np

    out = np.zeros((len(steps), *prediction.shape[1:]), np.float32)
    for axis, (channel, forward) in enumerate(steps):
        affinity = prediction[channel]
        out[axis] = affinity if forward else np.roll(affinity, -1, axis)
    return out
