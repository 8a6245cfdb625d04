"""Segments a prediction larger than memory: in blocks, then on the graph of their fragments."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from funlib.geometry import Roi

from dacapo.arrays.array import Array, Source
from dacapo.arrays.kept import BlockLog
from dacapo.arrays.views import lazy
from dacapo.arrays.write import block_starts
from dacapo.experiments.tasks.post_processors.blockwise import Blockwise, Nodes, Place
from dacapo.ops.fragments import absorb
from dacapo.ops.region_graph import Edges, add_up, joined
from dacapo.processes.files import write_atomically

Voxels = np.ndarray[Any, np.dtype[Any]]
Slices = tuple[slice, ...]
Start = tuple[int, ...]
_DUST = np.uint64(1)
"""The id of fragments that are whole segments and too small: they need no place in the graph."""


@dataclass(frozen=True)
class Grid:
    """How a volume is cut into blocks, in voxels.

    Attributes:
        shape: of the volume.
        edge: of a block.
        halo: what is read around a block, so that it is cut as its neighbours are.
    """

    shape: tuple[int, ...]
    edge: int
    halo: int

    def starts(self) -> list[tuple[int, ...]]:
        """The first voxel of each block."""
        return block_starts(self.shape, self.edge)

    def core(self, start: Sequence[int]) -> Slices:
        """The voxels of a block."""
        each = zip(start, self.shape, strict=True)
        return tuple(slice(s, min(s + self.edge, n)) for s, n in each)

    def window(self, core: Slices, below: Sequence[int], above: Sequence[int]) -> Slices:
        """A block and what is around it, as far as the volume reaches."""
        return tuple(
            slice(max(c.start - b, 0), min(c.stop + a, n))
            for c, b, a, n in zip(core, below, above, self.shape, strict=True)
        )


class BlockwiseSegmentation:
    """A segmentation that is computed in passes over blocks and kept in a folder on the way.

    After `run`, which goes on where an earlier process was interrupted, any part of it can be read.

    Args:
        blockwise: what is done with a block, and with the graph.
        prediction: (C, *spatial).
        grid: of the blocks.
        folder: for what is kept on the way.
        log: knows which blocks are done.
        name: of this segmentation in the log.
        cut: makes fragments and edges instead of `blockwise`, for several segmentations that
            differ in what is decided on the graph.
        decided: the folder for what is decided (default: `folder`).
    """

    def __init__(
        self,
        blockwise: Blockwise,
        prediction: Source,
        grid: Grid,
        folder: Path,
        log: BlockLog,
        name: str = "segments",
        cut: Blockwise | None = None,
        decided: Path | None = None,
    ) -> None:
        self._blockwise, self._prediction, self.grid = blockwise, prediction, grid
        self._cutter = cut or blockwise
        self.makes = blockwise.makes
        self._folder, self._log, self._name = folder, log, name
        self._decided = (decided or folder) / "lookup.npz"
        self._seeds: BlockwiseSegmentation | None = None
        if self._cutter.seeds is not None:
            self._seeds = BlockwiseSegmentation(
                self._cutter.seeds, prediction, grid, folder / "seeds", log, "seeds"
            )

    @property
    def needs_prediction(self) -> bool:
        """Whether there are blocks left to cut or to connect."""
        starts = self.grid.starts()
        return not all(self._log.is_done(name, starts) for name in self._passes())

    def run(self, ahead: Callable[[str, list[Start]], None] = lambda name, starts: None) -> None:
        """Make fragments, edges and the lookup table; what is there already is kept.

        Args:
            ahead: called before each pass with its name and its blocks, which it may do.
        """
        if self._seeds is not None:
            self._seeds.run(ahead)
        self._folder.mkdir(parents=True, exist_ok=True)
        for name, work in self._passes().items():
            self._make_fragments()
            ahead(name, self.grid.starts())
            for start in self._log.missing(name, self.grid.starts()):
                work(start)
                self._log.add(name, start)
        if not self._decided.exists():
            self._decide()
        self.open()

    def open(self) -> None:
        """Read the lookup table, after which any part of the segmentation can be read."""
        self._lookup = load_arrays(self._decided)

    def work(self, name: str) -> Callable[[Start], None]:
        """What a pass does with a block, after the passes before it."""
        if self._seeds is not None:
            if name.startswith(self._seeds._name):
                return self._seeds.work(name)
            self._seeds.open()
        return self._passes()[name]

    def _passes(self) -> dict[str, Callable[[Start], None]]:
        return {f"{self._name}/fragments": self._cut, f"{self._name}/edges": self._connect}

    @property
    def summary(self) -> str:
        """How many objects there are."""
        if self._blockwise.makes != "objects":
            return self._blockwise.makes
        count = int((self._lookup["sizes"][1:] >= self._blockwise.min_size).sum())
        return f"{count:,} object{'' if count == 1 else 's'}"

    def array(self, like: Array) -> Array:
        """The segmentation, on the grid of a prediction: (*spatial), or (K, *spatial) of masks."""
        maps = self._blockwise.num_maps
        num = len(self._lookup["sizes"])
        kind = np.uint8 if self._blockwise.makes == "masks" else np.min_scalar_type(num)
        dtype = np.dtype(kind) if self._blockwise.makes != "objects" else np.result_type(kind, "u4")

        def read(roi: Roi) -> Voxels:
            begin = (roi.offset - like.offset) / like.voxel_size
            size = roi.shape / like.voxel_size
            window = tuple(slice(b, b + s) for b, s in zip(begin, size, strict=True))
            found = self.read_absorbed(window).astype(dtype)
            return found if self._blockwise.makes == "masks" else found[0]

        channels = (maps,) if self._blockwise.makes == "masks" else ()
        return lazy(like, like.roi, channels, dtype, read)

    def read(self, window: Slices) -> Voxels:
        """A part of the segmentation: (K, *spatial) uint64."""
        ids, segments = self._lookup["ids"], self._lookup["segments"]
        labels = self._fragments()[(slice(None), *window)]
        present, place = np.unique(labels, return_inverse=True)
        at = np.searchsorted(ids, present)
        value = np.zeros(len(present), np.uint64)
        known = present > _DUST
        value[known] = segments[at[known]]
        value[present == _DUST] = len(self._lookup["sizes"])
        return value[place].reshape(labels.shape)

    def read_absorbed(self, window: Slices) -> Voxels:
        """Like `read`; segments that are too small are absorbed by the nearest larger one, or
        become background where there is none within the halo."""
        limit = self._blockwise.min_size
        if limit <= 1:
            return self.read(window)
        halo = [self.grid.halo] * len(window)
        wide = self.grid.window(window, halo, halo)
        (labels,) = self.read(wide)
        inner = tuple(
            slice(w.start - v.start, w.stop - v.start) for w, v in zip(window, wide, strict=True)
        )
        sizes = np.append(self._lookup["sizes"], 0)  # dust
        merged = absorb(labels, (sizes < limit)[labels], self.grid.halo)
        return merged[None][(slice(None), *inner)]

    def _cut(self, start: tuple[int, ...]) -> None:
        """Write the fragments of a block, and note their sizes and kinds."""
        grid, core = self.grid, self.grid.core(start)
        # What leads across a face needs the voxel beyond it.
        around = max(grid.halo, 1) if self._cutter.context else 0
        halo = [around] * len(core)
        window = grid.window(core, halo, halo)
        seeds = None if self._seeds is None else self._seeds.read(window)[0]
        place = Place([w.start for w in window], grid.shape)
        found = self._cutter.fragments(self._predicted(window), place, seeds)
        inner = tuple(
            slice(c.start - w.start, c.stop - w.start) for c, w in zip(core, window, strict=True)
        )
        labels = found.labels[(slice(None), *inner)]
        assert len(labels) == self._cutter.num_maps, (labels.shape, self._cutter.num_maps)
        count = len(found.kinds)
        sizes = np.bincount(labels.reshape(-1).astype(np.int64), minlength=count)
        is_dust = np.zeros(count, np.bool_)
        if found.is_whole is not None:
            whole = np.bincount(found.labels.reshape(-1).astype(np.int64), minlength=count)
            is_dust = found.is_whole & (whole < self._cutter.min_size) & (whole == sizes)
        is_dust[0] = False
        first = np.uint64(self._first_id(start, len(labels)))
        ids = np.arange(count, dtype=np.uint64) + first
        ids[0], ids[is_dust] = 0, _DUST
        self._fragments()[(slice(None), *core)] = ids[labels]
        sizes[0], sizes[is_dust] = 0, 0
        (present,) = np.nonzero(sizes)
        nodes = {
            "ids": present.astype(np.uint64) + first,
            "sizes": sizes[present],
            "kinds": found.kinds[present],
        }
        if self._cutter.stitches:
            for axis, last, following in _faces(inner, found.labels.shape[1:]):
                here, there = found.labels[0][last], found.labels[0][following]
                nodes[f"same{axis}"] = (here != 0) & (here == there)
        save_arrays(self._part("nodes", start), nodes)

    def _connect(self, start: tuple[int, ...]) -> None:
        """Note the edges that start in a block."""
        core = self.grid.core(start)
        below, above = self._cutter.reach(len(core))
        if self._cutter.stitches:
            above = [max(a, 1) for a in above]
        window = self.grid.window(core, below, above)
        inner = tuple(
            slice(c.start - w.start, c.stop - w.start) for c, w in zip(core, window, strict=True)
        )
        labels = self._fragments()[(slice(None), *window)]
        labels[labels == _DUST] = 0
        place = Place(start, self.grid.shape)
        edges = self._cutter.edges(self._predicted(window), labels, inner, place)
        same = np.zeros((0, 2), np.uint64)
        if self._cutter.stitches:
            nodes = load_arrays(self._part("nodes", start))
            for axis, last, following in _faces(inner, labels.shape[1:]):
                both = np.stack([labels[0][last], labels[0][following]], axis=-1)
                same = np.concatenate([same, both[nodes[f"same{axis}"]]])
            same = np.unique(same[(same != 0).all(axis=1)], axis=0)
        save_arrays(
            self._part("edges", start), {"pairs": edges.pairs, "same": same, **edges.columns}
        )

    def _decide(self) -> None:
        """Join fragments to segments, numbered from 1 without gaps."""
        starts = self.grid.starts()
        parts = [load_arrays(self._part("nodes", start)) for start in starts]
        # Blocks come in the order of their numbers, so ids rise.
        nodes = Nodes(*(np.concatenate([p[k] for p in parts]) for k in ("ids", "sizes", "kinds")))
        edges = add_up(self._stored_edges(starts), self._blockwise.columns)
        segments = np.zeros(0, np.int64)
        if len(nodes.ids):
            whole, nodes_of, edges_of = self._stitched(nodes, edges, starts)
            segments = np.asarray(self._blockwise.lookup(nodes_of, edges_of), np.int64)[whole]
        if self._blockwise.makes == "objects":
            is_small = np.bincount(segments, nodes.sizes)[segments] < self._blockwise.min_size
            segments = _without_gaps(segments, is_small)
        sizes = np.bincount(segments, nodes.sizes, minlength=1).astype(np.int64)
        save_arrays(self._decided, {"ids": nodes.ids, "segments": segments, "sizes": sizes})

    def _stitched(
        self, nodes: Nodes, edges: Edges, starts: Sequence[tuple[int, ...]]
    ) -> tuple[Voxels, Nodes, Edges]:
        """The fragment to which each part belongs, and the graph of fragments."""
        if not self._blockwise.stitches:
            return np.arange(len(nodes.ids)), nodes, edges
        same = np.concatenate([load_arrays(self._part("edges", s))["same"] for s in starts])
        whole = joined(len(nodes.ids), np.searchsorted(nodes.ids, same))
        kinds = np.zeros(whole.max() + 1, np.int64)
        kinds[whole] = nodes.kinds
        ids = np.arange(len(kinds), dtype=np.uint64)
        merged = Nodes(ids, np.bincount(whole, nodes.sizes).astype(np.int64), kinds)
        pairs = np.sort(ids[whole[edges.indices(nodes.ids)]], axis=1)
        differ = pairs[:, 0] != pairs[:, 1]
        columns = {name: values[differ] for name, values in edges.columns.items()}
        return whole, merged, add_up([Edges(pairs[differ], columns)], self._blockwise.columns)

    def _stored_edges(self, starts: Sequence[tuple[int, ...]]) -> Iterator[Edges]:
        for start in starts:
            stored = load_arrays(self._part("edges", start))
            yield Edges(stored["pairs"], {name: stored[name] for name in self._blockwise.columns})

    def _predicted(self, window: Slices) -> Voxels:
        return np.asarray(self._prediction[(slice(None), *window)], np.float32)

    def _first_id(self, start: tuple[int, ...], num_maps: int) -> int:
        """Ids of a block lie above it: its number times what a block and its halo can hold."""
        counts = [-(-n // self.grid.edge) for n in self.grid.shape]
        place = [s // self.grid.edge for s in start]
        number = int(np.ravel_multi_index(place, counts))
        capacity: int = (self.grid.edge + 2 * max(self.grid.halo, 1)) ** len(start)
        return int(_DUST) + number * capacity * num_maps

    def _fragments(self) -> Any:
        return zarr.open_array(str(self._folder / "fragments"), mode="r+")

    def _make_fragments(self) -> None:
        """The array of fragments, unless it is there."""
        path = self._folder / "fragments"
        if not (path / "zarr.json").exists():
            # Whole chunks in a block, as no two processes may write to one.
            edge = self.grid.edge
            chunk = next((c for c in range(min(64, edge), 15, -1) if edge % c == 0), edge)
            zarr.create_array(
                str(path), shape=(self._blockwise.num_maps, *self.grid.shape), dtype=np.uint64,
                chunks=(1, *(chunk,) * len(self.grid.shape)), overwrite=True,
            )  # fmt: skip

    def _part(self, kind: str, start: tuple[int, ...]) -> Path:
        return self._folder / kind / ("_".join(map(str, start)) + ".npz")


def _faces(core: Slices, shape: Sequence[int]) -> Iterator[tuple[int, Slices, Slices]]:
    """The last voxels of a block along each axis, and those that follow, where there are some."""
    for axis, along in enumerate(core):
        if along.stop < shape[axis]:
            last = (*core[:axis], slice(along.stop - 1, along.stop), *core[axis + 1 :])
            following = (*core[:axis], slice(along.stop, along.stop + 1), *core[axis + 1 :])
            yield axis, last, following


def _without_gaps(segments: Voxels, is_last: Voxels) -> Voxels:
    """The segments numbered from 1 in the order of their first fragment, but for those that come
    last; 0 stays 0."""
    values, first, number = np.unique(segments, return_index=True, return_inverse=True)
    rank = np.zeros(len(values), np.int64)
    kept = np.flatnonzero(values != 0)
    order = np.lexsort((first[kept], is_last[first[kept]]))
    rank[kept[order]] = np.arange(1, len(kept) + 1)
    return rank[number]


def save_arrays(path: Path, arrays: Mapping[str, Voxels]) -> None:
    """Write a file of arrays; `load_arrays` reads it."""
    content = BytesIO()
    np.savez(content, **arrays)  # type: ignore[arg-type]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, content.getvalue())


def load_arrays(path: Path) -> Mapping[str, Voxels]:
    """The arrays of a file."""
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}
