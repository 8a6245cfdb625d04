"""Augmentations that move voxels to where no voxel was."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING

from dacapo.experiments.trainers.augments.augment import Augment, Sample, Stage, Warp

if TYPE_CHECKING:
    import numpy as np
    from funlib.geometry import Coordinate
    from torch import Tensor


class WarpAugment(Augment):
    """Moves voxels to where no voxel was; several of them interpolate only once, together."""

    stage = Stage.warp

    @abstractmethod
    def warp(self, sample: Sample, rng: np.random.Generator) -> Warp: ...

    def change(self, sample: Sample, rng: np.random.Generator) -> Sample:
        return replace(sample, warp=self.warp(sample, rng).after(sample.warp))


def apply_warp(sample: Sample) -> Sample:
    """The sample with its warp done and its margin cut off: raw linear, labels nearest.

    Labels that come from beyond what was read count as not annotated.
    """
    if sample.warp is None:
        return sample.moved(
            lambda volume, voxel_size: _without_margin(volume, voxel_size, sample.margin),
            sample.margin * 0,
        )
    import torch

    from dacapo.ops.warp import resample, warped_positions

    warp, dims = sample.warp, sample.gt.ndim
    matrix = warp.matrix.to(sample.raw.device)
    control_points = (
        None if warp.control_points is None else warp.control_points.to(sample.raw.device)
    )

    def from_elsewhere(volume: Tensor, voxel_size: Coordinate, interpolate: bool) -> Tensor:
        inner = _without_margin(volume, voxel_size, sample.margin).shape[-dims:]
        at = warped_positions(inner, voxel_size, matrix, control_points, warp.spacing)
        size = [n * v for n, v in zip(volume.shape[-dims:], voxel_size, strict=True)]
        return resample(volume, at, size, interpolate)

    labels = [sample.gt, sample.mask, *([] if sample.weight is None else [sample.weight])]
    gt, mask, *weight = from_elsewhere(
        torch.stack([t.float() for t in labels]), sample.gt_voxel_size, interpolate=False
    )
    mask = mask.to(sample.mask.dtype)
    return replace(
        sample,
        raw=from_elsewhere(sample.raw, sample.raw_voxel_size, interpolate=True),
        gt=gt.to(sample.gt.dtype) * (mask != 0),
        mask=mask,
        weight=weight[0] if weight else None,
        margin=sample.margin * 0,
        warp=None,
    )


def _without_margin(volume: Tensor, voxel_size: Coordinate, margin: Coordinate) -> Tensor:
    cut = margin / voxel_size
    for axis, num in enumerate(cut, start=-cut.dims):
        volume = volume.narrow(axis, num, volume.shape[axis] - 2 * num)
    return volume
