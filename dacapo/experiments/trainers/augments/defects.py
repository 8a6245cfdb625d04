"""Augmentations that imitate imaging defects: lost, dark, shifted and blurred sections."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dacapo.config import config, interval, ranged
from dacapo.experiments.trainers.augments.augment import (
    Augment,
    Sample,
    Stage,
    probability,
    uniform,
)

if TYPE_CHECKING:
    import numpy as np
    from funlib.geometry import Coordinate
    from torch import Tensor


@dataclass(kw_only=True)
class SectionAugment(Augment):
    """Corrupt sections of raw along the first axis; labels are unchanged. No effect on 2D data."""

    stage = Stage.defect

    p: float = probability(0.2)
    share: float = ranged(0.05, low=0, high=1)
    """Probability that a section is changed."""

    @abstractmethod
    def corrupt(self, section: Tensor, rng: np.random.Generator) -> Tensor:
        """Change a section (C, Y, X)."""

    def change(self, sample: Sample, rng: np.random.Generator) -> Sample:
        if sample.gt.ndim != 3:
            return sample
        raw = sample.raw.clone()
        for number, chance in enumerate(rng.random(raw.shape[1])):
            if chance < self.share:
                raw[:, number] = self.corrupt(raw[:, number], rng)
        return replace(sample, raw=raw)


@config("trainer/augments")
@dataclass(kw_only=True)
class MissingSections(SectionAugment):
    """Lost sections: raw is black there, labels are unchanged."""

    def corrupt(self, section: Tensor, rng: np.random.Generator) -> Tensor:
        return section * 0


@config("trainer/augments")
@dataclass(kw_only=True)
class DarkSections(SectionAugment):
    """Sections with uneven staining or exposure: lower contrast, and darker."""

    factor: list[float] = interval([0.2, 0.7], low=0)
    """Range of the factor of their intensity."""

    def corrupt(self, section: Tensor, rng: np.random.Generator) -> Tensor:
        return section * uniform(rng, self.factor)


@config("trainer/augments")
@dataclass(kw_only=True)
class ShiftedSections(SectionAugment):
    """Single misaligned sections of raw; labels are unchanged."""

    distance: int = ranged(5, low=1)
    """Largest shift along each axis of the section, in voxels."""

    def corrupt(self, section: Tensor, rng: np.random.Generator) -> Tensor:
        shift = rng.integers(-self.distance, self.distance + 1, section.ndim - 1)
        return shifted(section, shift.tolist())


@config("trainer/augments")
@dataclass(kw_only=True)
class Defocus(SectionAugment):
    """Sections out of focus: raw is convolved with a disk."""

    radius: list[float] = interval([1.0, 3.0], low=0)
    """Range of the radius of the disk, in voxels."""

    def corrupt(self, section: Tensor, rng: np.random.Generator) -> Tensor:
        from dacapo.ops.blur import disk_blur

        return disk_blur(section, uniform(rng, self.radius))


@config("trainer/augments")
@dataclass(kw_only=True)
class Cutout(Augment):
    """Replace boxes of raw by its mean; labels are unchanged, so the network must fill in.

    DeVries and Taylor 2017.
    """

    stage = Stage.defect

    p: float = probability(0.2)
    num: list[int] = interval([1, 4], low=0)
    """Range of the number of boxes."""
    size: list[float] = interval([0.05, 0.25], low=0, high=1)
    """Range of the edges of boxes, as a fraction of the sample along each axis."""

    def change(self, sample: Sample, rng: np.random.Generator) -> Sample:
        raw = sample.raw.clone()
        mean = raw.mean()
        for _ in range(rng.integers(self.num[0], self.num[1] + 1)):
            box = []
            for length in raw.shape[1:]:
                edge = max(1, round(length * uniform(rng, self.size)))
                begin = int(rng.integers(length - edge + 1))
                box.append(slice(begin, begin + edge))
            raw[:, *box] = mean
        return replace(sample, raw=raw)


@config("trainer/augments")
@dataclass(kw_only=True)
class Misalignment(Augment):
    """Shift raw and labels from some section on, as after a misalignment.

    Uncovered voxels are filled with the border of raw, and count as not annotated. Lee et al. 2017.
    """

    stage = Stage.defect

    p: float = probability(0.2)
    distance: int = ranged(8, low=1)
    """Largest shift along each axis of the sections, in voxels of the coarser of raw and labels."""

    def change(self, sample: Sample, rng: np.random.Generator) -> Sample:
        dims = sample.gt.ndim
        coarser = [
            max(r, g) for r, g in zip(sample.raw_voxel_size, sample.gt_voxel_size, strict=True)
        ]
        shift = rng.integers(-self.distance, self.distance + 1, dims)
        shift[0] = 0
        # Raw and labels have the same centre; the slip is between two sections of the coarser one.
        lengths = {
            sample.raw_voxel_size[0]: sample.raw.shape[-dims],
            sample.gt_voxel_size[0]: sample.gt.shape[0],
        }
        num = lengths[coarser[0]]
        if sample.raw_voxel_size[0] == sample.gt_voxel_size[0]:
            num = min(sample.raw.shape[-dims], sample.gt.shape[0])
        slip = (2 * int(rng.integers(num + 1)) - num) * coarser[
            0
        ]  # distance from the centre, times two
        above = bool(rng.random() < 0.5)

        def slipped(volume: Tensor, voxel_size: Coordinate, fill: float | None) -> Tensor:
            length = volume.shape[-dims]
            cut = (length * voxel_size[0] + slip) // (2 * voxel_size[0])
            cut = min(max(cut, 0), length)  # the slip may be outside the labels
            part = slice(cut, None) if above else slice(0, cut)
            by = [int(s) * c // v for s, c, v in zip(shift, coarser, voxel_size, strict=True)]
            out = volume.clone().reshape(-1, *volume.shape[-dims:])
            out[:, part] = shifted(out[:, part], by, fill)
            return out.reshape(volume.shape)

        return sample.map(
            lambda raw, size: slipped(raw, size, None), lambda label, size: slipped(label, size, 0)
        )


def shifted(volume: Tensor, shift: Sequence[int], fill: float | None = None) -> Tensor:
    """Shift a volume (C, *spatial) by whole voxels along its last axes.

    Args:
        fill: value of the uncovered voxels; None: the border is repeated.
    """
    import torch

    for axis, step in enumerate(shift, start=-len(shift)):
        if step == 0:
            continue
        length = volume.shape[axis]
        by = max(-length, min(length, step))
        kept = volume.narrow(axis, max(0, -by), length - abs(by))
        border = volume.narrow(axis, 0 if by > 0 else length - 1, 1)
        if fill is not None:
            border = border * 0 + fill
        shape = list(volume.shape)
        shape[axis] = abs(by)
        new = border.expand(shape)
        volume = torch.cat([new, kept] if by > 0 else [kept, new], dim=axis)
    return volume
