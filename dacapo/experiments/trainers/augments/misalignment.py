"""Misalignment."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from dacapo.config import config
from dacapo.errors import InputError
from dacapo.experiments.trainers.augments.augment import Augment, Sample, Stage, moved
from dacapo.experiments.trainers.augments.augment_config import AugmentConfig

if TYPE_CHECKING:
    import numpy as np
    from funlib.geometry import Coordinate
    from torch import Tensor


@config("trainer/augments")
@dataclass(kw_only=True)
class MisalignmentConfig(AugmentConfig):
    """From some section on, raw and labels lie elsewhere: sections that were aligned badly."""

    distance: int = 8
    """Largest shift along each axis of the sections, in voxels of the coarser of raw and labels."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.distance < 1:
            raise InputError(f"{self._key}.distance={self.distance} must be at least 1")

    def build(self) -> Misalignment:
        return Misalignment(self.p, self.distance)


class Misalignment(Augment):
    """Raw and labels beyond one section are moved alike. Lee et al. 2017.

    What that uncovers is filled with the border in raw, and counts as not annotated.
    """

    stage = Stage.defect

    def __init__(self, p: float, distance: int) -> None:
        super().__init__(p)
        self._distance = distance

    def change(self, sample: Sample, rng: np.random.Generator) -> Sample:
        import torch

        dims = sample.gt.ndim
        coarser = [
            max(r, g) for r, g in zip(sample.raw_voxel_size, sample.gt_voxel_size, strict=True)
        ]
        shift = rng.integers(-self._distance, self._distance + 1, dims)
        shift[0] = 0
        # Raw and labels share their centre; the slip lies between two sections of the coarser.
        lengths = {
            sample.raw_voxel_size[0]: sample.raw.shape[-dims],
            sample.gt_voxel_size[0]: sample.gt.shape[0],
        }
        num = lengths[coarser[0]]
        if sample.raw_voxel_size[0] == sample.gt_voxel_size[0]:
            num = min(sample.raw.shape[-dims], sample.gt.shape[0])
        slip = (2 * int(rng.integers(num + 1)) - num) * coarser[0]  # from the centre, times two
        above = bool(rng.random() < 0.5)

        def slipped(volume: Tensor, voxel_size: Coordinate, fill: float | None) -> Tensor:
            length = volume.shape[-dims]
            cut = (length * voxel_size[0] + slip) // (2 * voxel_size[0])
            cut = min(max(cut, 0), length)  # the slip may lie beyond the labels
            part = slice(cut, None) if above else slice(0, cut)
            by = [int(s) * c // v for s, c, v in zip(shift, coarser, voxel_size, strict=True)]
            out = volume.clone().reshape(-1, *volume.shape[-dims:])
            out[:, part] = moved(out[:, part], by, fill)
            return out.reshape(volume.shape)

        labels: dict[str, Any] = {
            key: slipped(value, sample.gt_voxel_size, 0)
            for key in ("gt", "mask", "weight")
            if isinstance(value := getattr(sample, key), torch.Tensor)
        }
        return replace(sample, raw=slipped(sample.raw, sample.raw_voxel_size, None), **labels)
