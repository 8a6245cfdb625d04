"""Expected run length: how far a skeleton can be followed through a segmentation."""

from __future__ import annotations

from dataclasses import dataclass
from math import nan
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Skeletons:
    """Traced neurites.

    Attributes:
        skeleton: (nodes,), the skeleton of each node.
        position: (nodes, dims), in world units, or in voxels of the volume they are compared with.
        edges: (edges, 2), pairs of nodes.
        length: (edges,), in the unit of the scores.
    """

    skeleton: Array
    position: Array
    edges: Array
    length: Array


def expected_run_length(skeletons: Skeletons, segment: Array) -> tuple[float, float]:
    """The expected error-free path length from a random position. Januszewski et al. 2018.

    An edge is correct if both nodes are in one segment that contains no node of another skeleton.

    Args:
        segment: (nodes,), the segment at each node; 0: none, -1: the node and its edges are
            ignored.

    Returns:
        The expected run length, and its fraction of that of a perfect segmentation; NaN if all
        edges are ignored.
    """
    first, second = skeletons.edges.T
    counts = (segment[first] >= 0) & (segment[second] >= 0)
    first, second, length = first[counts], second[counts], skeletons.length[counts]
    total = float(length.sum())
    if total == 0:
        return nan, nan
    pairs = np.unique(np.stack([segment[segment > 0], skeletons.skeleton[segment > 0]]), axis=1)
    ids, num_skeletons = np.unique(pairs[0], return_counts=True)
    merged = ids[num_skeletons > 1]
    right = (segment[first] == segment[second]) & (segment[first] > 0)
    right &= ~np.isin(segment[first], merged)
    runs = _sums(skeletons.skeleton[first[right]], segment[first[right]], length[right])
    whole = _sums(skeletons.skeleton[first], np.zeros_like(first), length)
    run_length, best = float((runs**2).sum()) / total, float((whole**2).sum()) / total
    return run_length, run_length / best


def _sums(one: Array, other: Array, values: Array) -> Array:
    """The sum of the values for each pair of keys."""
    if values.size == 0:
        return np.zeros(0)
    which = np.unique(np.stack([one, other]), axis=1, return_inverse=True)[1].reshape(-1)
    return np.bincount(which, values)
