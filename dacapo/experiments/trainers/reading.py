"""Reads crops as they are stored, and normalises and warps them on the device that trains."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from funlib.geometry import Coordinate, Roi
from torch import Tensor

from dacapo.experiments.datasplits.datasets.dataset import NormalizedRaw
from dacapo.ops.integers import as_float, same_bits
from dacapo.ops.warp import Warp, warp_linear, warp_nearest

_AS_STORED = (np.uint8, np.int8, np.uint16, np.int16, np.float32)
"""Types of raw that are uploaded; others become float32 first."""


class CropReader:
    """Reads the regions of one sample.

    No more is read than the warp needs, and what is computed per voxel is computed for the voxels
    that remain.

    Args:
        warp: about the centre of all regions; None: none.
    """

    def __init__(self, device: torch.device, warp: Warp | None) -> None:
        self._device, self._warp = device, warp

    def intensities(
        self, raw: NormalizedRaw, roi: Roi, voxel_size: Coordinate, levels: tuple[Tensor, Tensor]
    ) -> Tensor:
        """Normalised intensities (C, *spatial).

        Args:
            levels: of the raw, on the device.
        """
        low, factor = levels
        box, begin = self._source(roi, voxel_size)
        stored = raw.read_stored(box)
        if stored.dtype not in _AS_STORED:
            stored = stored.astype(np.float32)
        values = self._upload(stored)
        if self._warp is None:
            each = (-1, *(1,) * roi.dims)
            return (as_float(values) - low.reshape(each)) * factor.reshape(each)
        shape = roi.shape / voxel_size
        return warp_linear(values, begin, self._warp, shape, voxel_size, low, factor)

    def nearest(
        self, read: Callable[[Roi], np.ndarray[Any, Any]], inside: Roi, roi: Roi,
        voxel_size: Coordinate,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """What a function reads, not interpolated (*spatial), 0 outside; and uint8, 1 inside.

        Args:
            inside: what can be read.
        """
        shape = roi.shape / voxel_size
        box, begin = self._source(roi, voxel_size)
        there = box.intersect(inside)
        if there.empty:
            dtype = self._upload(read(Roi(inside.begin, voxel_size))).dtype
            nothing = torch.zeros(shape, dtype=dtype, device=self._device)
            return nothing, torch.zeros_like(nothing, dtype=torch.uint8)
        values = self._upload(read(there))
        begin += (there.begin - box.begin) / voxel_size
        if self._warp is not None:
            return warp_nearest(values, begin, self._warp, shape, voxel_size)
        if there == roi:
            return values, torch.ones_like(values, dtype=torch.uint8)
        out = torch.zeros(shape, dtype=values.dtype, device=self._device)
        known = torch.zeros(shape, dtype=torch.uint8, device=self._device)
        place = tuple(slice(b, b + n) for b, n in zip(begin, values.shape, strict=True))
        same_bits(out)[place] = same_bits(values)
        known[place] = 1
        return out, known

    def _source(self, roi: Roi, voxel_size: Coordinate) -> tuple[Roi, Coordinate]:
        """What has to be read for a region, and its first voxel relative to that of the region."""
        if self._warp is None:
            return roi, Coordinate((0,) * roi.dims)
        begin, shape = map(Coordinate, self._warp.source_of(roi.shape / voxel_size, voxel_size))
        return Roi(roi.begin + begin * voxel_size, shape * voxel_size), begin

    def _upload(self, array: np.ndarray[Any, Any]) -> Tensor:
        """To the device; on a GPU without waiting for it."""
        native = array.dtype.newbyteorder("=")
        if self._device.type != "cuda":
            given = np.require(array, native, ["C", "W"])
            if min(given.strides, default=0) < 0:  # numpy ignores the strides of axes of one voxel
                given = given.copy()
            return torch.from_numpy(given).to(self._device)
        pinned = torch.empty(array.shape, dtype=_torch_type(native), pin_memory=True)
        np.copyto(pinned.numpy(), array)
        return pinned.to(self._device, non_blocking=True)


def _torch_type(dtype: np.dtype[Any]) -> torch.dtype:
    return torch.from_numpy(np.empty(0, dtype)).dtype
