"""Augmentations of raw intensities; labels are unchanged."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dacapo.config import config, interval
from dacapo.experiments.trainers.augments.augment import (
    Augment,
    Sample,
    Stage,
    probability,
    uniform,
)

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor


@dataclass(kw_only=True)
class IntensityAugment(Augment):
    """Changes raw alone."""

    stage = Stage.intensity

    @abstractmethod
    def change_raw(self, raw: Tensor, rng: np.random.Generator, sample: Sample) -> Tensor:
        """Change the raw (C, *spatial) of a sample."""

    def change(self, sample: Sample, rng: np.random.Generator) -> Sample:
        return replace(sample, raw=self.change_raw(sample.raw, rng, sample))


@config("trainer/augments")
@dataclass(kw_only=True)
class Intensity(IntensityAugment):
    """Scale the contrast about the sample's mean, and shift the brightness."""

    scale: list[float] = interval([0.8, 1.2], low=0)
    """Range of the factor of the contrast."""
    shift: list[float] = interval([-0.15, 0.15], low=-1)
    """Range of the shift of the brightness, where raw spans 0 to 1."""

    def change_raw(self, raw: Tensor, rng: np.random.Generator, sample: Sample) -> Tensor:
        scale, shift = uniform(rng, self.scale), uniform(rng, self.shift)
        mean = raw.mean()
        return (raw - mean) * scale + (mean + shift)


@config("trainer/augments")
@dataclass(kw_only=True)
class Contrast(IntensityAugment):
    """Scale the contrast about the sample's mean, clipped to its previous range."""

    p: float = probability(0.2)
    factor: list[float] = interval([0.65, 1.5], low=0)
    """Range of the factor of the contrast."""

    def change_raw(self, raw: Tensor, rng: np.random.Generator, sample: Sample) -> Tensor:
        factor, mean = uniform(rng, self.factor), raw.mean()
        return (mean + factor * (raw - mean)).clamp(raw.min(), raw.max())


@config("trainer/augments")
@dataclass(kw_only=True)
class Gamma(IntensityAugment):
    """Raise intensities, clipped to [0, 1], to a power."""

    gamma: list[float] = interval([0.7, 1.4], low=1e-3)
    """Range of the exponent, drawn uniformly on a logarithmic scale."""

    def change_raw(self, raw: Tensor, rng: np.random.Generator, sample: Sample) -> Tensor:
        low, high = self.gamma
        exponent = math.exp(rng.uniform(math.log(low), math.log(high)))
        return raw.clamp(0, 1) ** exponent


@config("trainer/augments")
@dataclass(kw_only=True)
class Noise(IntensityAugment):
    """Add Gaussian noise, drawn independently per voxel."""

    std: list[float] = interval([0.0, 0.06], low=0)
    """Range of the standard deviation, where raw spans 0 to 1."""

    def change_raw(self, raw: Tensor, rng: np.random.Generator, sample: Sample) -> Tensor:
        import torch

        std = uniform(rng, self.std)
        noise = torch.randn(raw.shape, generator=_torch_rng(raw, rng), device=raw.device)
        return raw + std * noise


@config("trainer/augments")
@dataclass(kw_only=True)
class Poisson(IntensityAugment):
    """Shot noise of counted photons or electrons, which grows with the square root of intensity."""

    p: float = probability(0.2)
    counts: list[float] = interval([50.0, 400.0], low=1)
    """Range of the mean count where raw is 1; lower counts are noisier."""

    def change_raw(self, raw: Tensor, rng: np.random.Generator, sample: Sample) -> Tensor:
        import torch

        counts = uniform(rng, self.counts)
        counted = torch.poisson(raw.clamp_min(0) * counts, generator=_torch_rng(raw, rng))
        return counted / counts


@config("trainer/augments")
@dataclass(kw_only=True)
class SaltAndPepper(IntensityAugment):
    """Set single voxels to white or black with equal probability, in all channels together."""

    p: float = probability(0.1)
    share: list[float] = interval([0.0, 0.02], low=0, high=1)
    """Range of the fraction of voxels that are set."""

    def change_raw(self, raw: Tensor, rng: np.random.Generator, sample: Sample) -> Tensor:
        import torch

        share = uniform(rng, self.share)
        chance = torch.rand(raw.shape[1:], generator=_torch_rng(raw, rng), device=raw.device)
        white = (chance < share / 2).to(raw.dtype)
        return torch.where(chance < share, white, raw)


@config("trainer/augments")
@dataclass(kw_only=True)
class Blur(IntensityAugment):
    """Blur raw with a Gaussian that has the same width along all axes in world units."""

    p: float = probability(0.2)
    sigma: list[float] = interval([0.5, 1.5], low=0)
    """Range of the standard deviation, in voxels of the finest axis."""

    def change_raw(self, raw: Tensor, rng: np.random.Generator, sample: Sample) -> Tensor:
        from dacapo.ops.blur import gaussian_blur

        sigma = uniform(rng, self.sigma) * min(sample.raw_voxel_size)
        return gaussian_blur(raw, [sigma / size for size in sample.raw_voxel_size])


@config("trainer/augments")
@dataclass(kw_only=True)
class LowResolution(IntensityAugment):
    """Simulate raw acquired with larger voxels and upsampled linearly. Isensee et al. 2021."""

    p: float = probability(0.2)
    factor: list[float] = interval([1.0, 2.0], low=1)
    """Range of the factor by which voxels are larger; coarse axes are affected only by larger
    factors."""

    def change_raw(self, raw: Tensor, rng: np.random.Generator, sample: Sample) -> Tensor:
        from torch.nn.functional import interpolate

        size = uniform(rng, self.factor) * min(sample.raw_voxel_size)
        shape = raw.shape[1:]
        fewer = [
            max(1, round(n * min(1.0, v / size)))
            for n, v in zip(shape, sample.raw_voxel_size, strict=True)
        ]
        mode = "trilinear" if len(shape) == 3 else "bilinear"
        small = interpolate(raw[None], fewer, mode="area")
        return interpolate(small, tuple(shape), mode=mode)[0]


def _torch_rng(raw: Tensor, rng: np.random.Generator) -> torch.Generator:
    """A torch generator on the device of raw, seeded by the sample's generator."""
    import torch

    return torch.Generator(raw.device).manual_seed(int(rng.integers(2**62)))
