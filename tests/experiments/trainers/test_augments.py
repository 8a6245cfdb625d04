from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from funlib.geometry import Coordinate

from dacapo.experiments.trainers.augments import (
    AugmentConfig,
    ElasticConfig,
    GammaConfig,
    IntensityConfig,
    MirrorConfig,
    NoiseConfig,
    TransposeConfig,
)
from dacapo.experiments.trainers.augments.augment import Sample
from dacapo.ops.draws import generator

ALL = [ElasticConfig, GammaConfig, IntensityConfig, MirrorConfig, NoiseConfig, TransposeConfig]


def sample(
    shape: tuple[int, ...] = (12, 12, 12),
    voxel_size: tuple[int, ...] = (4, 4, 4),
    margin: tuple[int, ...] = (0, 0, 0),
) -> Sample:
    """Raw that tells which label a voxel has."""
    grown = [n + 2 * m for n, m in zip(shape, margin, strict=True)]
    gt = torch.from_numpy(np.random.default_rng(0).integers(0, 5, grown).astype(np.int32))
    size = Coordinate(voxel_size)
    mask = (gt != 4).to(torch.uint8)
    return Sample(gt[None].float() / 10, gt * mask, mask, size, size, Coordinate(margin) * size)


@pytest.mark.parametrize("cls", ALL)
def test_a_pure_function_of_the_generator(cls: type[AugmentConfig]) -> None:
    augment = cls().build()
    margin = (9, 9, 9) if cls is ElasticConfig else (0, 0, 0)
    one, two, other = (augment.apply(sample(margin=margin), generator(key)) for key in (1, 1, 2))
    assert torch.equal(one.raw, two.raw)
    assert torch.equal(one.gt, two.gt)
    assert not (torch.equal(one.raw, other.raw) and torch.equal(one.gt, other.gt))


@pytest.mark.parametrize("cls", ALL)
def test_it_does_something_and_p_turns_it_off(cls: type[AugmentConfig]) -> None:
    margin = (9, 9, 9) if cls is ElasticConfig else (0, 0, 0)
    plain, given = sample(), sample(margin=margin)
    inner = tuple(slice(m, m + 12) for m in margin)
    results = [cls().build().apply(given, generator(i)) for i in range(4)]
    assert any(not torch.equal(r.raw[0], given.raw[0][inner]) for r in results)
    off = cls(p=0).build().apply(given, generator(1))
    assert torch.equal(off.raw[0], given.raw[0][inner])
    assert torch.equal(off.gt, given.gt[inner])
    assert off.margin == plain.margin


@pytest.mark.parametrize("cls", [MirrorConfig, TransposeConfig])
@pytest.mark.parametrize("voxel_size", [(4, 4, 4), (40, 4, 4)])
def test_raw_labels_and_mask_move_together(
    cls: type[AugmentConfig], voxel_size: tuple[int, ...]
) -> None:
    for key in range(8):
        out = cls().build().apply(sample(voxel_size=voxel_size), generator(key))
        known = out.mask != 0
        assert torch.equal((out.raw[0] * 10).round().int()[known], out.gt[known])
        assert (out.raw[0][~known] == 0.4).all()


def test_transpose_exchanges_only_axes_that_are_alike() -> None:
    given = sample((6, 12, 12), (40, 4, 4))
    for key in range(8):
        out = TransposeConfig().build().apply(given, generator(key))
        assert out.gt.shape == (6, 12, 12)
        planes = {tuple(sorted(p.flatten().tolist())) for p in given.gt}
        assert {tuple(sorted(p.flatten().tolist())) for p in out.gt} == planes


def test_elastic_labels_stay_labels_and_the_outside_is_unknown() -> None:
    given = sample(margin=(2, 2, 2))  # too small a margin for so strong a deformation
    config = ElasticConfig(jitter=4.0, spacing=8.0)
    seen = set()
    for key in range(6):
        out = config.build().apply(given, generator(key))
        assert out.gt.shape == out.mask.shape == out.raw.shape[1:] == (12, 12, 12)
        assert set(out.gt.unique().tolist()) <= {0, 1, 2, 3}
        assert (out.gt[out.mask == 0] == 0).all()
        seen |= set(out.mask.unique().tolist())
    assert seen == {0, 1}


def test_elastic_moves_raw_and_labels_alike() -> None:
    """A ball stays where its picture is."""
    grid = torch.stack(torch.meshgrid(*[torch.arange(60.0)] * 3, indexing="ij"))
    ball = ((grid - torch.tensor([30.0, 24, 34]).reshape(3, 1, 1, 1)) ** 2).sum(0) < 81
    size = Coordinate(4, 4, 4)
    given = Sample(
        ball[None].float(), ball.int(), torch.ones(60, 60, 60, dtype=torch.uint8),
        size, size, Coordinate(12, 12, 12) * size,
    )  # fmt: skip
    for key in range(4):
        out = ElasticConfig().build().apply(given, generator(key))
        agree = ((out.raw[0] > 0.5) == (out.gt == 1)).float().mean()
        assert agree > 0.995
        assert 500 < out.gt.sum() < 6000


def test_the_margin_is_enough_for_every_turn_and_bend() -> None:
    config = ElasticConfig(jitter=2.0, spacing=10.0)
    size = Coordinate(20, 20, 20) * 4
    margin = config.build().margin(size, Coordinate(4, 4, 4))
    voxels = tuple(-(-m // 4) for m in margin)
    given = sample((20, 20, 20), margin=voxels)
    unmasked = Sample(
        given.raw, given.gt, torch.ones_like(given.mask), given.raw_voxel_size,
        given.gt_voxel_size, given.margin,
    )  # fmt: skip
    unknown = [
        (config.build().apply(unmasked, generator(k)).mask == 0).float().mean() for k in range(20)
    ]
    assert max(unknown) < 0.02


def test_anisotropic_data_turns_in_the_plane_only() -> None:
    labels = torch.arange(1, 7, dtype=torch.int32).reshape(6, 1, 1).expand(6, 40, 40).contiguous()
    size = Coordinate(40, 4, 4)
    given = Sample(
        labels[None].float() / 10, labels, torch.ones_like(labels, dtype=torch.uint8),
        size, size, Coordinate(0, 40, 40),
    )  # fmt: skip
    out = ElasticConfig(jitter=0.0).build().apply(given, generator(1))
    assert torch.equal(out.gt, labels[:, :20, :20])


def test_intensities_by_hand() -> None:
    given = sample()
    shifted = IntensityConfig(scale=[1, 1], shift=[0.1, 0.1]).build().apply(given, generator(0))
    assert torch.allclose(shifted.raw, given.raw + 0.1)
    squared = GammaConfig(gamma=[2, 2]).build().apply(given, generator(0))
    assert torch.allclose(squared.raw, given.raw**2)
    noisy = NoiseConfig(std=[0.5, 0.5]).build().apply(given, generator(0))
    assert (noisy.raw - given.raw).std().item() == pytest.approx(0.5, rel=0.1)


@pytest.mark.parametrize("cls", ALL)
def test_the_weight_of_a_voxel_moves_with_its_label(cls: type[AugmentConfig]) -> None:
    margin = (9, 9, 9) if cls is ElasticConfig else (0, 0, 0)
    given = sample(margin=margin)
    given = replace(given, weight=given.gt.float())
    for key in range(4):
        for augment in (cls().build(), cls(p=0).build()):
            made = augment.apply(given, generator(key))
            assert made.weight is not None
            assert torch.equal(made.weight * (made.mask != 0), made.gt.float())
