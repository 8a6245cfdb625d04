"""Post-processing of volumes larger than memory: fragments of blocks, and a graph of fragments.

Each block is cut into fragments, with its surroundings in view. Edges between fragments that touch,
in a block or across its faces, carry what the decision needs. Fragments are then joined on the
graph alone, and a lookup table turns them into segments.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

if TYPE_CHECKING:
    import numpy as np

    from dacapo.ops.region_graph import Edges, Reduction

    Volume = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Fragments:
    """The fragments of a block.

    Attributes:
        labels: (K, *spatial), ids from 1; 0 belongs to none. K is 1 except for classes that may
            overlap.
        kinds: (largest id + 1,) a number for each: its class, or the seed from which it grew.
        is_whole: (largest id + 1,) whether it is certain to be all of a segment; None: none is.
    """

    labels: Volume
    kinds: Volume
    is_whole: Volume | None = None


@dataclass(frozen=True)
class Place:
    """Where a part lies in a volume.

    Attributes:
        corner: its first voxel.
        whole: shape of the volume.
    """

    corner: Sequence[int]
    whole: Sequence[int]


@dataclass(frozen=True)
class Nodes:
    """All fragments of a volume.

    Attributes:
        ids: (N,) uint64, in rising order.
        sizes: (N,) voxels.
        kinds: (N,) see `Fragments`.
    """

    ids: Volume
    sizes: Volume
    kinds: Volume


class Blockwise(ABC):
    """One setting of a post-processor, for volumes larger than memory.

    Attributes:
        columns: of the edges, with how the values of a pair of fragments are added up.
        context: whether a block is cut better with its surroundings in view.
        stitches: whether fragments that lie on both sides of a face, as a block and its
            surroundings show them, are one.
        num_maps: of fragments: 1, or one per class if those may overlap.
        makes: objects (ids), classes (one of them at each voxel), or masks (one map per class).
        seeds: makes the seeds from which fragments grow, if there are any.
        min_size: smaller segments are absorbed by their neighbours.
        decided_by: parameters on which neither fragments nor edges depend.
    """

    columns: ClassVar[Mapping[str, Reduction]] = {}
    context: ClassVar[bool] = False
    stitches: bool = False
    makes: Literal["objects", "classes", "masks"] = "objects"
    num_maps: int = 1
    seeds: Blockwise | None = None
    min_size: int = 0
    decided_by: Collection[str] = ("min_size",)

    @abstractmethod
    def fragments(self, prediction: Volume, place: Place, seeds: Volume | None) -> Fragments:
        """Cut a block.

        Args:
            prediction: (C, *spatial) float32, of the block and its surroundings.
            place: where they lie.
            seeds: (*spatial) ids of seeds that are the same in all blocks, 0 elsewhere.
        """

    @abstractmethod
    def reach(self, dims: int) -> tuple[Sequence[int], Sequence[int]]:
        """How many voxels below and above a block its edges lead."""

    @abstractmethod
    def edges(
        self, prediction: Volume, labels: Volume, core: Sequence[slice], place: Place
    ) -> Edges:
        """The edges that start in a block.

        Args:
            prediction: (C, *spatial) float32, of the block and all within reach.
            labels: (K, *spatial) ids of the fragments there.
            core: the block in both.
            place: of the block.
        """

    @abstractmethod
    def lookup(self, nodes: Nodes, edges: Edges) -> Volume:
        """The segment of each fragment, (N,) int64: from 1, or a class; 0 is background."""


class AffinityBlocks(Blockwise):
    """Fragments are joined by affinities.

    Args:
        neighborhood: the offsets of the edges, in voxels, and the channels of the affinities there.
        strides: of each offset; see `pairs_at`.
        draws: whether as many edges are drawn at random instead; see `mutex_watershed`.
        cut: prediction -> (*spatial) fragments, and which of them are whole segments.
        weigh: (channel, affinities) -> columns of the edges.
        join: (number of fragments, pairs, columns) -> the cluster of each fragment, from 0.
    """

    context = True

    def __init__(
        self,
        neighborhood: Sequence[Sequence[int]],
        strides: Sequence[int],
        columns: Mapping[str, Reduction],
        cut: Callable[[Volume, Place], tuple[Volume, Volume | None]],
        weigh: Callable[[int, Volume], Mapping[str, Volume]],
        join: Callable[[int, Volume, Mapping[str, Volume]], Volume],
        min_size: int,
        channels: Sequence[int] | None = None,
        stitches: bool = False,
        draws: bool = False,
        decided_by: Collection[str] = ("min_size",),
    ) -> None:
        self.stitches, self._draws, self.decided_by = stitches, draws, decided_by
        self.columns = columns  # type: ignore[misc]
        self.min_size = min_size
        self._channels = range(len(neighborhood)) if channels is None else channels
        self._neighborhood, self._strides = neighborhood, strides
        self._cut, self._weigh, self._join = cut, weigh, join

    def fragments(self, prediction: Volume, place: Place, seeds: Volume | None) -> Fragments:
        import numpy as np

        labels, is_whole = self._cut(prediction, place)
        kinds = np.zeros(int(labels.max(initial=0)) + 1, np.int64)
        return Fragments(labels[None], kinds, is_whole)

    def reach(self, dims: int) -> tuple[Sequence[int], Sequence[int]]:
        from dacapo.ops.affinities import reach

        return reach(self._neighborhood)

    def edges(
        self, prediction: Volume, labels: Volume, core: Sequence[slice], place: Place
    ) -> Edges:
        import numpy as np

        from dacapo.ops.mutex_watershed import is_drawn
        from dacapo.ops.region_graph import Edges, add_up, pairs_at

        tables = []
        each = zip(self._channels, self._neighborhood, self._strides, strict=True)
        for channel, offset, stride in each:
            every = [1 if self._draws else stride] * len(core)
            pairs, at = pairs_at(labels[0], offset, core, every, place.corner)
            if self._draws and stride > 1:
                shape = [c.stop - c.start for c in core]
                inside = np.unravel_index(at, shape)
                voxels = [i + c for i, c in zip(inside, place.corner, strict=True)]
                flat = np.ravel_multi_index(voxels, tuple(place.whole))
                used = is_drawn(channel, flat, place.whole, [stride] * len(core))
                pairs, at = pairs[used], at[used]
            affinities = prediction[channel][tuple(core)].reshape(-1)[at]
            tables.append(Edges(pairs, self._weigh(channel, affinities)))
        return add_up(tables, self.columns)

    def lookup(self, nodes: Nodes, edges: Edges) -> Volume:
        return self._join(len(nodes.ids), edges.indices(nodes.ids), edges.columns) + 1


class ComponentBlocks(Blockwise):
    """Fragments of one kind that touch are one component; those that are too small are removed.

    Args:
        cut: prediction -> (K, *spatial) maps of kinds: 0, or a number above it.
        makes: objects, which have numbers, or classes or masks, which have their kind.
    """

    def __init__(
        self,
        cut: Callable[[Volume], Volume],
        min_size: int,
        makes: Literal["objects", "classes", "masks"] = "objects",
        num_maps: int = 1,
    ) -> None:
        self._cut, self._min_size, self.makes, self.num_maps = cut, min_size, makes, num_maps

    def fragments(self, prediction: Volume, place: Place, seeds: Volume | None) -> Fragments:
        import numpy as np

        from dacapo.ops.components import components

        kinds = [np.zeros(1, np.int64)]
        maps = self._cut(prediction)
        labels = np.zeros(maps.shape, np.uint64)
        for channel, values in enumerate(maps):
            for kind in np.unique(values):
                if kind:
                    parts = components(values == kind)
                    inside = parts != 0
                    labels[channel][inside] = parts[inside] + np.uint64(sum(map(len, kinds)) - 1)
                    kinds.append(np.full(int(parts.max()), kind, np.int64))
        return Fragments(labels, np.concatenate(kinds))

    def reach(self, dims: int) -> tuple[Sequence[int], Sequence[int]]:
        return [0] * dims, [1] * dims

    def edges(
        self, prediction: Volume, labels: Volume, core: Sequence[slice], place: Place
    ) -> Edges:
        from dacapo.ops.region_graph import Edges, add_up

        return add_up((Edges(pairs, {}) for _, pairs, _ in _faces(labels, core)), self.columns)

    def lookup(self, nodes: Nodes, edges: Edges) -> Volume:
        import numpy as np

        from dacapo.ops.region_graph import joined

        pairs = edges.indices(nodes.ids)
        alike = nodes.kinds[pairs[:, 0]] == nodes.kinds[pairs[:, 1]]
        component = joined(len(nodes.ids), pairs[alike])
        sizes = np.bincount(component, nodes.sizes)
        large = (sizes >= self._min_size)[component]
        result = component + 1 if self.makes == "objects" else nodes.kinds
        return np.where(large, result, 0)


class WatershedBlocks(Blockwise):
    """Fragments grow from seeds that all blocks share.

    What no seed reaches in a block becomes fragments without a seed, which join over the highest
    pass; components without any seed are background, as are segments that are too small.

    Args:
        seeds: makes the seeds.
        interior: prediction -> (*spatial), high inside objects.
        inside: prediction -> (*spatial) bool, the voxels to fill.
    """

    columns: ClassVar[Mapping[str, Reduction]] = {"height": "max"}
    context = True

    def __init__(
        self,
        seeds: Blockwise,
        interior: Callable[[Volume], Volume],
        inside: Callable[[Volume], Volume],
        min_size: int,
    ) -> None:
        self.seeds, self._interior, self._inside = seeds, interior, inside
        self._min_size = min_size

    def fragments(self, prediction: Volume, place: Place, seeds: Volume | None) -> Fragments:
        import numpy as np

        from dacapo.ops.components import components
        from dacapo.ops.watershed import seeded_watershed

        assert seeds is not None
        inside = self._inside(prediction)
        ids, local = np.unique(np.where(inside, seeds, 0), return_inverse=True)
        if not ids.size or ids[0] != 0:
            ids, local = np.concatenate([[0], ids]), local + 1
        grown = seeded_watershed(self._interior(prediction), local.reshape(inside.shape), inside)
        rest = components(inside & (grown == 0))
        labels = np.where(rest, rest + np.uint32(len(ids) - 1), grown)
        kinds = np.concatenate([ids.astype(np.int64), np.zeros(int(rest.max(initial=0)), np.int64)])
        return Fragments(labels[None], kinds)

    def reach(self, dims: int) -> tuple[Sequence[int], Sequence[int]]:
        return [0] * dims, [1] * dims

    def edges(
        self, prediction: Volume, labels: Volume, core: Sequence[slice], place: Place
    ) -> Edges:
        import numpy as np

        from dacapo.ops.region_graph import Edges, add_up

        here, tables = self._interior(prediction), []
        for axis, pairs, at in _faces(labels, core):
            lower = np.minimum(here, np.roll(here, -1, axis))[tuple(core)]
            tables.append(Edges(pairs, {"height": lower.reshape(-1)[at]}))
        return add_up(tables, self.columns)

    def lookup(self, nodes: Nodes, edges: Edges) -> Volume:
        import numpy as np

        from dacapo.ops.region_graph import watershed_on_graph

        # One node for each seed, and for each fragment without one.
        alone = np.flatnonzero(nodes.kinds == 0)
        seeds, node = np.unique(nodes.kinds, return_inverse=True)
        first = np.searchsorted(seeds, 0, side="right")  # 1 if there are fragments without seed
        node = node - first
        count = int(len(seeds) - first)
        node[alone] = count + np.arange(len(alone))
        total = count + len(alone)
        pairs = node[edges.indices(nodes.ids)]
        cluster = watershed_on_graph(
            total, pairs, edges.columns["height"], np.arange(total) < count
        )
        segment = cluster[node]
        sizes = np.bincount(segment, nodes.sizes)
        is_seeded = np.zeros(len(sizes), np.bool_)
        is_seeded[segment[nodes.kinds != 0]] = True
        keep = is_seeded & (sizes >= self._min_size)
        return np.where(keep[segment], segment + 1, 0)


def _faces(labels: Volume, core: Sequence[slice]) -> Iterator[tuple[int, Volume, Volume]]:
    """For each channel: each axis, the pairs that touch along it, and where; see `pairs_at`."""
    import numpy as np

    from dacapo.ops.region_graph import pairs_at

    for own in labels:
        for axis, offset in enumerate(np.eye(own.ndim, dtype=int).tolist()):
            yield axis, *pairs_at(own, offset, core, [1] * own.ndim, [0] * own.ndim)
