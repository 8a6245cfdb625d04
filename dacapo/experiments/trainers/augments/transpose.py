"""Transpose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dacapo.config import config
from dacapo.experiments.trainers.augments.augment import Augment, Sample, Stage
from dacapo.experiments.trainers.augments.augment_config import AugmentConfig

if TYPE_CHECKING:
    import numpy as np
    from funlib.geometry import Coordinate
    from torch import Tensor


@config("trainer/augments")
@dataclass(kw_only=True)
class TransposeConfig(AugmentConfig):
    """Exchange axes at random, those that have the same voxel size and the same extent."""

    def build(self) -> Transpose:
        return Transpose(self.p)


class Transpose(Augment):
    """Permute the spatial axes of raw and labels alike."""

    stage = Stage.flip

    def change(self, sample: Sample, rng: np.random.Generator) -> Sample:
        dims = sample.gt.ndim
        order = list(range(dims))
        for group in _alike(sample):
            for axis, other in zip(group, rng.permutation(group), strict=True):
                order[axis] = int(other)

        def permuted(volume: Tensor, _: Coordinate) -> Tensor:
            channels = volume.ndim - dims
            return volume.permute(*range(channels), *(channels + axis for axis in order))

        return sample.moved(permuted)


def _alike(sample: Sample) -> list[list[int]]:
    """Axes that may change places, in groups."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for axis, size in enumerate(sample.gt.shape):
        raw = sample.raw.shape[axis - sample.gt.ndim]
        key = (size, raw, sample.raw_voxel_size[axis], sample.gt_voxel_size[axis])
        groups.setdefault(key, []).append(axis)
    return list(groups.values())
