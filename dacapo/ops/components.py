"""Connected components and their sizes."""

from __future__ import annotations

from typing import Any

import cc3d
import fastremap
import numpy as np

Mask = np.ndarray[Any, np.dtype[np.bool_]]
Labels = np.ndarray[Any, np.dtype[Any]]


def components(mask: Mask) -> np.ndarray[Any, np.dtype[np.uint32]]:
    """Components of voxels connected by faces, numbered from 1; 0 outside the mask. 2D or 3D."""
    labels: Labels = cc3d.connected_components(mask, connectivity=4 if mask.ndim == 2 else 6)
    return labels.astype(np.uint32)


def pieces(labels: Labels) -> Labels:
    """Components of voxels of equal label connected by faces, numbered from 1; 0 stays 0."""
    found: Labels = cc3d.connected_components(labels, connectivity=4 if labels.ndim == 2 else 6)
    return found.astype(np.uint32)


def connected_voxels(to_next: Mask) -> Labels:
    """Components of voxels that are connected to their neighbours, numbered from 1.

    Args:
        to_next: (dims, *spatial), whether each voxel is connected to the next one along each axis;
            what leads out of the volume is ignored.

    Returns:
        (*spatial); 0 for voxels without a connection.
    """
    dims = len(to_next)
    graph = np.zeros(to_next.shape[1:], np.uint8 if dims == 2 else np.uint32)
    for axis, connected in enumerate(to_next):
        here, there = [slice(None)] * dims, [slice(None)] * dims
        here[axis], there[axis] = slice(None, -1), slice(1, None)
        # The bits of cc3d: +x, -x, +y, -y, +z, -z; its x is the first axis.
        graph[tuple(here)] |= connected[tuple(here)] * graph.dtype.type(1 << 2 * axis)
        graph[tuple(there)] |= connected[tuple(here)] * graph.dtype.type(2 << 2 * axis)
    labels: Labels = cc3d.color_connectivity_graph(graph, connectivity=4 if dims == 2 else 6)
    kept = np.where(graph != 0, labels, np.zeros((), labels.dtype))
    return np.asarray(fastremap.renumber(kept, preserve_zero=True)[0], np.uint32)


def without_small(mask: Mask, min_size: int) -> Mask:
    """The mask without its components of fewer than `min_size` voxels."""
    if min_size <= 1:
        return mask
    return np.asarray(keep_large(components(mask), min_size) != 0)


def keep_large(labels: Labels, min_size: int) -> Labels:
    """The labels without segments of fewer than `min_size` voxels, which become 0."""
    if min_size <= 1 or labels.size == 0:
        return labels
    sizes = np.bincount(labels.reshape(-1))
    small = sizes < min_size
    return np.where(small[labels], np.zeros((), labels.dtype), labels)
