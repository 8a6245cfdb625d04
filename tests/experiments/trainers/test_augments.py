from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from funlib.geometry import Coordinate

from dacapo.errors import InputError
from dacapo.experiments.trainers import augments
from dacapo.experiments.trainers.augments.augment import Augment, Sample, Stage
from dacapo.ops.draws import generator

NOT_AUGMENTS = ("Augment", "Extent", "Sample", "Stage", "WarpAugment")
ALL = [getattr(augments, name) for name in augments.__all__ if name not in NOT_AUGMENTS]
SECTIONS = {"MissingSections", "DarkSections", "ShiftedSections", "Defocus"}
WARPS = [c for c in ALL if c.stage is Stage.warp]


def eager(cls: type[Augment], **more: Any) -> Augment:
    """One that always does something."""
    if cls.__name__ in SECTIONS:
        more.setdefault("share", 0.5)
    return cls(p=1, **more)


def applied(augment: Augment, given: Sample, key: int) -> Sample:
    return augment.apply(given, generator(key))


def sample(
    shape: tuple[int, ...] = (12, 12, 12),
    voxel_size: tuple[int, ...] = (4, 4, 4),
) -> Sample:
    """Raw that tells which label a voxel has."""
    gt = torch.from_numpy(np.random.default_rng(0).integers(0, 5, shape).astype(np.int32))
    size = Coordinate(voxel_size)
    mask = (gt != 4).to(torch.uint8)
    return Sample(gt[None].float() / 10, gt * mask, mask, size, size)


@pytest.mark.parametrize("cls", ALL)
def test_a_pure_function_of_the_generator(cls: type[Augment]) -> None:
    augment = eager(cls)
    one, two, other = (applied(augment, sample(), key) for key in (1, 1, 3))
    assert torch.equal(one.raw, two.raw)
    assert torch.equal(one.gt, two.gt)
    assert not (torch.equal(one.raw, other.raw) and torch.equal(one.gt, other.gt))


@pytest.mark.parametrize("cls", ALL)
def test_it_does_something_and_p_turns_it_off(cls: type[Augment]) -> None:
    given = sample()
    results = [applied(eager(cls), given, i) for i in range(4)]
    assert any(not torch.equal(r.raw, given.raw) for r in results)
    assert all(r.raw.shape == given.raw.shape for r in results)
    off = applied(cls(p=0), given, 1)
    assert torch.equal(off.raw, given.raw)
    assert torch.equal(off.gt, given.gt)


@pytest.mark.parametrize("cls", [augments.Mirror, augments.Transpose])
@pytest.mark.parametrize("voxel_size", [(4, 4, 4), (40, 4, 4)])
def test_raw_labels_and_mask_move_together(cls: type[Augment], voxel_size: tuple[int, ...]) -> None:
    for key in range(8):
        out = applied(cls(p=1), sample(voxel_size=voxel_size), key)
        known = out.mask != 0
        assert torch.equal((out.raw[0] * 10).round().int()[known], out.gt[known])
        assert (out.raw[0][~known] == 0.4).all()


def test_transpose_exchanges_only_axes_that_are_alike() -> None:
    given = sample((6, 12, 12), (40, 4, 4))
    for key in range(8):
        out = applied(augments.Transpose(), given, key)
        assert out.gt.shape == (6, 12, 12)
        planes = {tuple(sorted(p.flatten().tolist())) for p in given.gt}
        assert {tuple(sorted(p.flatten().tolist())) for p in out.gt} == planes


def test_elastic_labels_stay_labels_and_the_outside_is_unknown() -> None:
    given = sample()
    config = augments.Elastic(p=1, jitter=4.0, control_point_spacing=8.0)
    seen = set()
    for key in range(6):
        out = applied(config, given, key)
        assert out.gt.shape == out.mask.shape == out.raw.shape[1:] == (12, 12, 12)
        assert set(out.gt.unique().tolist()) <= {0, 1, 2, 3}
        assert (out.gt[out.mask == 0] == 0).all()
        seen |= set(out.mask.unique().tolist())
    assert seen == {0, 1}


@pytest.mark.parametrize("cls", WARPS)
def test_warps_move_raw_and_labels_alike(cls: type[Augment]) -> None:
    """A ball stays where its picture is."""
    grid = torch.stack(torch.meshgrid(*[torch.arange(60.0)] * 3, indexing="ij"))
    ball = ((grid - torch.tensor([30.0, 24, 34]).reshape(3, 1, 1, 1)) ** 2).sum(0) < 81
    size = Coordinate(4, 4, 4)
    given = Sample(
        ball[None].float(), ball.int(), torch.ones(60, 60, 60, dtype=torch.uint8),
        size, size,
    )  # fmt: skip
    for key in range(4):
        out = applied(cls(p=1), given, key)
        agree = ((out.raw[0] > 0.5) == (out.gt == 1))[out.mask != 0].float().mean()
        assert agree > 0.99
        assert 500 < out.gt.sum() < 6000


def test_anisotropic_data_turns_in_the_plane_only() -> None:
    labels = torch.arange(1, 7, dtype=torch.int32).reshape(6, 1, 1).expand(6, 40, 40).contiguous()
    size = Coordinate(40, 4, 4)
    given = Sample(
        labels[None].float() / 10, labels, torch.ones_like(labels, dtype=torch.uint8),
        size, size,
    )  # fmt: skip
    out = applied(augments.Elastic(p=1, jitter=0.0), given, 1)
    assert (out.mask == 0).any()
    assert torch.equal(out.gt[out.mask != 0], labels[out.mask != 0])


def test_intensities_by_hand() -> None:
    given = sample()
    shifted = applied(augments.Intensity(p=1, scale=[1, 1], shift=[0.1, 0.1]), given, 0)
    assert torch.allclose(shifted.raw, given.raw + 0.1)
    squared = applied(augments.Gamma(p=1, gamma=[2, 2]), given, 0)
    assert torch.allclose(squared.raw, given.raw**2)
    noisy = applied(augments.Noise(p=1, std=[0.5, 0.5]), given, 0)
    assert (noisy.raw - given.raw).std().item() == pytest.approx(0.5, rel=0.1)


@pytest.mark.parametrize("cls", ALL)
def test_the_weight_of_a_voxel_moves_with_its_label(cls: type[Augment]) -> None:
    given = sample()
    given = replace(given, weight=given.gt.float())
    for key in range(4):
        for augment in (eager(cls), cls(p=0)):
            made = applied(augment, given, key)
            assert made.weight is not None
            assert torch.equal(made.weight * (made.mask != 0), made.gt.float())


@pytest.mark.parametrize("cls", [c for c in ALL if c.stage >= Stage.intensity])
def test_labels_stay_where_only_raw_changes(cls: type[Augment]) -> None:
    if cls is augments.Misalignment:
        return
    for shape, size in (((12, 12, 12), (4, 4, 4)), ((6, 12, 12), (40, 4, 4)), ((12, 12), (4, 4))):
        given = sample(shape, size)
        for key in range(3):
            made = applied(eager(cls), given, key)
            assert torch.equal(made.gt, given.gt)
            assert torch.equal(made.mask, given.mask)
            assert made.raw.shape == given.raw.shape
            assert made.raw.isfinite().all()


def test_scale_by_hand() -> None:
    line = torch.arange(40.0).expand(40, 40, 40)
    size = Coordinate(4, 4, 4)
    given = Sample(line[None], line.int(), torch.ones(40, 40, 40, dtype=torch.uint8), size, size)
    made = applied(augments.Scale(p=1, factor=[2, 2]), given, 0)
    along = made.raw[0, 20, 20]
    torch.testing.assert_close(along[1:] - along[:-1], torch.full((39,), 0.5))
    assert along.mean() == pytest.approx(19.5, abs=1e-4)


def test_sections_by_hand() -> None:
    given = sample((6, 12, 12), (40, 4, 4))
    raw = given.raw
    for name in ("missing_sections", "dark_sections", "shifted_sections", "defocus"):
        cls = getattr(augments, "".join(w.title() for w in name.split("_")))
        made = applied(cls(p=1, share=0.4), given, 2).raw
        same = [torch.equal(made[:, i], raw[:, i]) for i in range(6)]
        assert 0 < sum(same) < 6
        changed = made[:, [i for i in range(6) if not same[i]]]
        if name == "missing_sections":
            assert (changed == 0).all()
        assert changed.max() <= raw.max() + 1e-6


def test_misalignment_moves_raw_and_labels_beyond_one_section() -> None:
    grid = torch.stack(torch.meshgrid(*[torch.arange(16)] * 3, indexing="ij"))
    labels = (1 + grid[1] + 16 * grid[2]).int()
    context = torch.nn.functional.pad(labels[None, None].float(), (3,) * 6)[0]
    size = Coordinate(4, 4, 4)
    given = Sample(context, labels, torch.ones_like(labels, dtype=torch.uint8), size, size)
    moved = 0
    for key in range(8):
        made = applied(augments.Misalignment(p=1, distance=3), given, key)
        known = made.mask != 0
        assert torch.equal(made.raw[0, 3:-3, 3:-3, 3:-3][known].int(), made.gt[known])
        same = [torch.equal(made.gt[z], labels[z]) for z in range(16)]
        assert same in (sorted(same), sorted(same, reverse=True))  # one side stays
        moved += not all(same)
        assert (made.gt[~known] == 0).all()
    assert moved >= 5


def test_contrast_cutout_and_salt_by_hand() -> None:
    given = sample()
    mean = given.raw.mean()
    half = applied(augments.Contrast(p=1, factor=[0.5, 0.5]), given, 0)
    torch.testing.assert_close(half.raw, mean + 0.5 * (given.raw - mean))
    cut = applied(augments.Cutout(p=1, num=[1, 1], size=[0.5, 0.5]), given, 0)
    assert ((cut.raw != given.raw) & (cut.raw != mean)).sum() == 0
    assert (cut.raw == mean).sum() == 6**3
    salted = applied(augments.SaltAndPepper(p=1, share=[0.5, 0.5]), given, 0).raw
    assert (salted == 1).float().mean() == pytest.approx(0.25, abs=0.05)
    counted = applied(augments.Poisson(p=1, counts=[100, 100]), given, 0).raw
    torch.testing.assert_close(counted * 100, (counted * 100).round())
    assert (counted - given.raw).mean().abs() < 0.01


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: augments.SaltAndPepper(share=[0, 2]),
            r"trainer.augments.salt_and_pepper.share=\[0, 2\]: .* between 0 and 1",
        ),
        (lambda: augments.LowResolution(factor=[0.5, 2]), "augments.low_resolution.factor"),
        (
            lambda: augments.Defocus(share=1.5),
            "trainer.augments.defocus.share=1.5 must be between 0 and 1",
        ),
        (lambda: augments.ShiftedSections(distance=0), "shifted_sections.distance=0 must"),
        (lambda: augments.Shear(angle=[0, 80]), r"shear.angle=\[0, 80\]: .* between -60 and 60"),
    ],
)
def test_mistakes(make: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()


def test_misalignment_slips_between_the_same_sections_of_raw_and_finer_labels() -> None:
    rows, columns = torch.meshgrid(torch.arange(20), torch.arange(20), indexing="ij")
    code = (1 + rows + 20 * columns).float()
    raw = code.expand(1, 10, 20, 20).contiguous()
    fine = code.repeat_interleave(2, 0).repeat_interleave(2, 1)
    labels = fine.expand(14, 40, 40).int().contiguous()
    coarse, half = Coordinate(4, 4, 4), Coordinate(2, 2, 2)
    mask = torch.ones_like(labels, dtype=torch.uint8)
    given = Sample(raw, labels, mask, coarse, half)
    for key in range(12):
        made = applied(augments.Misalignment(p=1, distance=3), given, key)
        for section in range(14):
            there = made.raw[0, (section - 7) * 2 // 4 + 5]
            there = there.repeat_interleave(2, 0).repeat_interleave(2, 1).int()
            known = made.mask[section] != 0
            assert torch.equal(made.gt[section][known], there[known])
