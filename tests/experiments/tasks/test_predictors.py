from __future__ import annotations

import numpy as np
import pytest
import torch
from funlib.geometry import Coordinate, Roi
from scipy.ndimage import distance_transform_edt

from dacapo.errors import InputError
from dacapo.experiments.tasks.label_groups import LabelGroups
from dacapo.experiments.tasks.predictors import (
    AffinitiesPredictor,
    BoundaryPredictor,
    ClassPredictor,
    CombinedPredictor,
    DescriptorsPredictor,
    DistancePredictor,
    OneHotPredictor,
    Predictor,
)
from tests.conftest import small_task_config

OFFSETS = [[1, 0, 0], [0, -1, 0], [0, 0, 3]]


def random_labels(shape: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 4, shape).astype(np.int32))


def with_lsds(offsets: list[list[int]], sigma: float) -> CombinedPredictor:
    return CombinedPredictor(
        {
            "affinities": AffinitiesPredictor(offsets),
            "lsds": DescriptorsPredictor(len(offsets[0]), sigma),
        }
    )


class TestAffinities:
    @pytest.mark.parametrize(("dims", "extra"), [(2, 6), (3, 10)])
    def test_lsds_add_channels_to_head_target_and_weight(self, dims: int, extra: int) -> None:
        offsets = [[1] + [0] * (dims - 1)]
        labels = random_labels((1, *[9] * dims))
        for lsds, channels in ((False, 1), (True, 1 + extra)):
            predictor = with_lsds(offsets, 2.0) if lsds else AffinitiesPredictor(offsets)
            target = predictor.create_target(labels)
            weight = predictor.create_weight(labels, target, torch.ones_like(labels))
            assert predictor.num_channels == target.shape[1] == weight.shape[1] == channels

    def test_context_grows_for_positive_and_negative_offsets(self) -> None:
        predictor = AffinitiesPredictor([[2, 0, 0], [0, -3, 0]])
        region = predictor.gt_region_for_roi(Roi((0, 0, 0), (40, 40, 40)), Coordinate(4, 2, 2))
        assert region == Roi((0, -6, 0), (48, 46, 40))

    def test_context_of_lsds(self) -> None:
        predictor = with_lsds([[1, 0]], 2.0)
        region = predictor.gt_region_for_roi(Roi((0, 0), (80, 80)), Coordinate(8, 4))
        assert region == Roi((-24, -24), (128, 128))  # 3 sigma of 2 voxels of 4 units

    def test_targets_in_the_middle_do_not_depend_on_more_context(self) -> None:
        predictor = with_lsds(OFFSETS, 1.0)
        labels = random_labels((1, 20, 20, 20))
        whole = predictor.create_target(labels)[..., 7:13, 7:13, 7:13]
        less = predictor.create_target(labels[:, 3:17, 3:17, 3:17])[..., 4:10, 4:10, 4:10]
        assert torch.allclose(whole, less, atol=1e-6)

    def test_the_unknown_weighs_nothing(self) -> None:
        predictor = with_lsds(OFFSETS, 2.0)
        labels = random_labels((1, 8, 8, 8))
        mask = (torch.rand(1, 8, 8, 8) < 0.7).int()
        weight = predictor.create_weight(labels, predictor.create_target(labels), mask)
        assert (weight[:, :, mask[0] == 0] == 0).all()
        assert (weight[0, 0, -1] == 0).all()  # the neighbour lies outside
        assert (weight[0, 1, :, 0] == 0).all()
        assert (weight[0, 2, :, :, -3:] == 0).all()
        assert (weight[:, 3:][:, :, labels[0] == 0] == 0).all()  # background has no shape

    def test_the_shape_of_an_object_is_known_less_beside_what_is_not_annotated(self) -> None:
        predictor = with_lsds([[1, 0]], 2.0)
        labels = torch.ones(1, 40, 40, dtype=torch.int32)
        mask = torch.ones(1, 40, 40)
        mask[:, :20] = 0
        weight = predictor.create_weight(labels, predictor.create_target(labels), mask)[0, 1]
        assert weight[19, 20] == 0
        assert 0.5 < weight[20, 20] < 0.7
        assert weight[27, 20] == pytest.approx(1.0, abs=1e-6)

    def test_classes_are_balanced_within_what_is_trained(self) -> None:
        predictor = AffinitiesPredictor([[0, 1]])
        labels = torch.ones(1, 12, 12, dtype=torch.int32)
        labels[0, :4] = torch.arange(2, 50).reshape(4, 12)  # context of objects of one voxel
        labels[0, 6:, 6:] = 99
        target = predictor.create_target(labels)
        region = (slice(5, 11), slice(2, 10))
        weight = predictor.create_weight(labels, target, torch.ones_like(labels), region=region)
        assert weight.shape == (1, 1, 6, 8)
        assert weight.mean() == pytest.approx(1.0)


ISOTROPIC, ANISOTROPIC = Coordinate(1000, 1000, 1000), Coordinate(283720, 126790, 126790)
GROUPS = LabelGroups({"mito": [3, 4], "er": [7]})


def blocks(seed: int = 0, ids: int = 4) -> torch.Tensor:
    """Labels in blocks of 3^3, (1, 12, 15, 15)."""
    coarse = np.random.default_rng(seed).integers(0, ids, (4, 5, 5)).astype(np.int32)
    return torch.from_numpy(coarse.repeat(3, 0).repeat(3, 1).repeat(3, 2))[None]


def everywhere(labels: torch.Tensor) -> torch.Tensor:
    return torch.ones_like(labels, dtype=torch.uint8)


class TestDistance:
    @pytest.mark.parametrize("size", [ISOTROPIC, ANISOTROPIC])
    def test_of_classes_it_is_scipy_s(self, size: Coordinate) -> None:
        labels = GROUPS.encode(blocks(ids=9)[0])[None]
        predictor = DistancePredictor(GROUPS, scale=3.0)
        target = predictor.create_target(labels, size)[0].numpy()
        for channel, inside in zip(target, GROUPS.members(labels)[0].numpy(), strict=True):
            signed = distance_transform_edt(inside, size) - distance_transform_edt(~inside, size)
            scale = 3 * min(size)
            expected = np.tanh(np.clip(signed, -2 * scale, 2 * scale) / scale)
            assert np.allclose(channel, expected, atol=1e-5)

    def test_of_objects_touching_ones_have_a_border(self) -> None:
        labels = torch.zeros(1, 1, 12, dtype=torch.int32)
        labels[0, 0, 2:6], labels[0, 0, 6:10] = 1, 2
        target = DistancePredictor(LabelGroups(), scale=1.0).create_target(labels)[0, 0, 0]
        expected = torch.tensor([-2, -1, 1, 2, 2, 1, 1, 2, 2, 1, -1, -2.0]).tanh()
        assert torch.allclose(target, expected)

    def test_inner_is_0_outside_and_known_there(self) -> None:
        labels = torch.zeros(1, 8, 30, dtype=torch.int32)
        labels[:, 2:6, 2:6] = 5
        predictor = DistancePredictor(LabelGroups(), scale=2.0, inner=True)
        target = predictor.create_target(labels)
        assert (target[0, 0][labels[0] == 0] == 0).all()
        assert target.max() == pytest.approx(np.tanh(1))
        weight = predictor.create_weight(labels, target, everywhere(labels))
        assert (weight[0, 0][labels[0] == 0] > 0).all()

    def test_beyond_the_reach_of_the_crop_nothing_is_known(self) -> None:
        labels = torch.ones(1, 30, 30, dtype=torch.int32)
        predictor = DistancePredictor(LabelGroups(), scale=3.0)
        target = predictor.create_target(labels)
        weight = predictor.create_weight(labels, target, everywhere(labels))[0, 0]
        assert (weight[5:25, 5:25] > 0).all()
        assert weight.bool().sum() == 20 * 20

    def test_with_the_context_it_asks_for_all_is_known(self) -> None:
        predictor = DistancePredictor(LabelGroups(), scale=2.0)
        region = predictor.gt_region_for_roi(Roi((0,) * 3, (400, 400, 400)), Coordinate(40, 4, 4))
        assert region == Roi((0, -16, -16), (400, 432, 432))  # the next section is too far
        labels = torch.ones(1, 3, 38, 38, dtype=torch.int32)
        inner = (slice(1, 2), slice(4, 34), slice(4, 34))
        weight = predictor.create_weight(
            labels, labels, everywhere(labels), Coordinate(40, 4, 4), inner
        )
        assert (weight > 0).all()

    def test_flat_is_each_section_by_itself(self) -> None:
        labels, size = blocks(), Coordinate(2000, 1000, 1000)
        whole = DistancePredictor(LabelGroups(), 3.0, per_section=True).create_target(labels, size)[
            0, 0
        ]
        one = DistancePredictor(LabelGroups(), 3.0)
        for section, expected in zip(labels[0], whole, strict=True):
            alone = one.create_target(section[None], Coordinate(1000, 1000))[0, 0]
            assert torch.allclose(expected, alone)
        roi = Roi((0,) * 3, size * 10)
        region = DistancePredictor(LabelGroups(), 3.0, per_section=True).gt_region_for_roi(
            roi, size
        )
        assert region == roi.grow(Coordinate(0, 6000, 6000), Coordinate(0, 6000, 6000))

    def test_a_volume_may_be_too_thin(self) -> None:
        shape, size = Coordinate(10, 99, 99), Coordinate(40, 20, 20)
        thick = DistancePredictor(GROUPS, 15.0)
        assert thick.unknown_in(shape, size).startswith("task.scale=15.0: distances of more than")
        assert not thick.unknown_in(Coordinate(30, 30, 30), Coordinate(1, 1, 1))
        assert not DistancePredictor(GROUPS, 15.0, per_section=True).unknown_in(shape, size)
        near, far = (AffinitiesPredictor([[1, 0, 0], [n, 0, 0]]) for n in (9, 10))
        assert not near.unknown_in(shape, size)
        assert "[10, 0, 0] leads out of it" in far.unknown_in(shape, size)
        boundary = BoundaryPredictor()
        assert boundary.unknown_in(Coordinate(2, 99, 99), size).startswith("task.width=1.5")
        assert not boundary.unknown_in(Coordinate(3, 99, 99), size)

    def test_a_prediction_becomes_what_the_target_is(self) -> None:
        labels = blocks()
        for inner in (False, True):
            predictor = DistancePredictor(LabelGroups(), inner=inner)
            target = predictor.create_target(labels)
            values = predictor.activation(torch.tensor([-50.0, 50.0]))
            assert values.min() <= target.min() + 1e-6
            assert target.max() <= values.max()


class TestClasses:
    def test_hot_channels_are_memberships(self) -> None:
        predictor = ClassPredictor(GROUPS, max_class_weight=1)
        labels = predictor.encode(torch.tensor([[0, 3, 4, 7, 9]]))[None]
        assert predictor.create_target(labels)[0, :, 0].int().tolist() == [
            [0, 1, 1, 0, 0],
            [0, 0, 0, 1, 0],
        ]
        mask = torch.tensor([[[1, 1, 0, 1, 1]]])
        weight = predictor.create_weight(labels, labels, mask)
        assert weight[0, :, 0].tolist() == [[1, 1, 0, 1, 1]] * 2

    def test_one_hot_adds_up_to_1(self) -> None:
        predictor = OneHotPredictor(GROUPS)
        labels = predictor.encode(blocks(ids=9)[0])[None]
        target = predictor.create_target(labels)
        assert (target.sum(1) == 1).all()
        assert predictor.num_channels == 3
        weight = predictor.create_weight(labels, target, everywhere(labels))
        assert (weight == weight[:, :1]).all()
        mass = (weight * target).sum((0, 2, 3, 4))
        assert torch.allclose(mass, mass[:1].expand(3))  # classes count alike

    def test_where_a_class_is_not_annotated_it_may_be_there(self) -> None:
        predictor = OneHotPredictor(GROUPS, max_class_weight=1)
        labels = predictor.encode(torch.tensor([[0, 3, 7]]))[None]
        mask = torch.tensor([[[[1, 1, 1]], [[0, 0, 0]]]])  # mito only
        weight = predictor.create_weight(labels, predictor.create_target(labels), mask)
        assert weight[0, :, 0].T.tolist() == [[0, 1, 0], [1, 1, 1], [0, 1, 0]]


class TestBoundary:
    def test_by_hand(self) -> None:
        labels = torch.tensor([[[0, 0, 1, 1, 1, 1, 1, 2, 2, 2, 0, 0]] * 3])
        target = BoundaryPredictor(width=1.5).create_target(labels.int())
        assert target[0, 0, 1].int().tolist() == [0, 0, 1, 0, 0, 0, 1, 1, 0, 1, 0, 0]

    @pytest.mark.parametrize("size", [ISOTROPIC, ANISOTROPIC])
    def test_a_face_neighbour_of_another_label_is_always_boundary(self, size: Coordinate) -> None:
        labels = blocks()
        target = BoundaryPredictor(width=1.0).create_target(labels, size)[0, 0].bool()
        expected = torch.zeros_like(target)
        for axis in range(3):
            n = labels.shape[axis + 1]
            low, high = (labels[0].narrow(axis, b, n - 1) for b in (0, 1))
            differ = low != high
            expected.narrow(axis, 0, n - 1).logical_or_(differ)
            expected.narrow(axis, 1, n - 1).logical_or_(differ)
        assert torch.equal(target, expected & (labels[0] != 0))

    def test_beside_the_edge_it_is_not_known(self) -> None:
        labels = torch.ones(1, 9, 9, dtype=torch.int32)
        predictor = BoundaryPredictor(width=1.5)
        target = predictor.create_target(labels)
        weight = predictor.create_weight(labels, target, everywhere(labels))[0, 0]
        assert weight.bool().sum() == 49  # the outermost voxels have unknown ones within 1.5


PREDICTORS: dict[str, Predictor] = {
    "affinities": AffinitiesPredictor(OFFSETS),
    "lsds": DescriptorsPredictor(3, 1.5),
    "distance": DistancePredictor(LabelGroups(), 2.0),
    "distance of classes": DistancePredictor(GROUPS, 2.0),
    "inner distance": DistancePredictor(LabelGroups(), 2.0, inner=True),
    "hot": ClassPredictor(GROUPS),
    "foreground": ClassPredictor(LabelGroups()),
    "one hot": OneHotPredictor(GROUPS),
    "boundary": BoundaryPredictor(),
    "combined": CombinedPredictor({"a": ClassPredictor(GROUPS), "b": DistancePredictor(GROUPS)}),
}


@pytest.mark.parametrize("size", [ISOTROPIC, ANISOTROPIC])
@pytest.mark.parametrize("name", PREDICTORS)
class TestEvery:
    def test_scrambling_what_is_not_annotated_changes_nothing_that_counts(
        self, name: str, size: Coordinate
    ) -> None:
        predictor = PREDICTORS[name]
        rng = np.random.default_rng(0)
        ids = blocks(ids=9)[0].numpy()
        shape = (len(predictor.classes), *ids.shape) if predictor.classes else ids.shape
        known = rng.random(shape) < 0.9
        if predictor.classes:
            known[0, :6] = False  # a class that is not annotated in a part
        anywhere = known.any(0) if predictor.classes else known
        noise = rng.integers(0, 9, ids.shape)
        results = []
        for labels in (ids, np.where(anywhere, ids, noise)):
            gt = predictor.encode(torch.from_numpy(labels.astype(np.uint64)))[None]
            if name in ("affinities", "lsds"):  # these read labels that are 0 where not annotated
                gt = gt * torch.from_numpy(anywhere)
            target = predictor.create_target(gt, size)
            mask = torch.from_numpy(known.astype(np.uint8))[None]
            results.append((target, predictor.create_weight(gt, target, mask, size)))
        (target, weight), (other, same) = results
        assert target.dtype == weight.dtype == torch.float32
        assert target.shape == weight.shape == (1, predictor.num_channels, *ids.shape)
        assert torch.equal(weight, same)
        assert (weight > 0).any()
        assert torch.equal(target[weight > 0], other[weight > 0])
        assert (weight[:, :, ~torch.from_numpy(anywhere)] == 0).all()

    def test_more_context_than_it_asks_for_changes_nothing(
        self, name: str, size: Coordinate
    ) -> None:
        predictor = PREDICTORS[name]
        ids = np.random.default_rng(1).integers(0, 9, (14, 20, 20)).repeat(3, 0)
        ids = ids.repeat(3, 1).repeat(3, 2).astype(np.uint64)
        roi = Roi(Coordinate(18, 26, 26) * size, Coordinate(6, 8, 8) * size)
        asked = predictor.gt_region_for_roi(roi, size)
        results = []
        for region in (asked, asked.grow(size * 3, size * 3)):
            begin, shape = region.begin / size, region.shape / size
            window = tuple(slice(b, b + s) for b, s in zip(begin, shape, strict=True))
            inner = tuple(
                slice(b, b + s)
                for b, s in zip((roi.begin - region.begin) / size, roi.shape / size, strict=True)
            )
            gt = predictor.encode(torch.from_numpy(np.ascontiguousarray(ids[window])))[None]
            target = predictor.create_target(gt, size)
            weight = predictor.create_weight(gt, target, everywhere(gt), size, inner)
            results.append((target[:, :, *inner], weight))
        assert torch.allclose(results[0][0], results[1][0], atol=1e-5)
        assert torch.allclose(results[0][1], results[1][1], atol=1e-5)


DIAGONAL = [[1, 0, 0], [-2, 0, 0], [0, 2, -1], [0, 2, 1], [0, -1, 0], [1, 1, 1]]
MIRRORED: dict[str, Predictor] = {
    "affinities": AffinitiesPredictor(DIAGONAL),
    "descriptors": DescriptorsPredictor(3, 2.0),
    "both": with_lsds(DIAGONAL, 2.0),
    "boundary": BoundaryPredictor(),
    "distance": DistancePredictor(LabelGroups(), 3.0),
    "one hot": OneHotPredictor(LabelGroups({"a": [1], "b": [2], "c": [3]})),
    "classes": ClassPredictor(LabelGroups({"a": [1], "b": [2], "c": [3]})),
}


@pytest.mark.parametrize("kind", MIRRORED)
@pytest.mark.parametrize("axes", [(0,), (2,), (0, 1), (0, 1, 2)])
def test_the_target_of_mirrored_labels_is_the_mirrored_target(
    kind: str, axes: tuple[int, ...]
) -> None:
    predictor = MIRRORED[kind]
    labels = random_labels((1, 3, 3, 3)).repeat_interleave(4, 1)
    labels = labels.repeat_interleave(4, 2).repeat_interleave(4, 3)
    target = predictor.create_target(labels)
    counts = predictor.create_weight(labels, target, torch.ones_like(labels))[0].numpy() > 0
    expected = target[0].numpy()
    spatial = tuple(1 + axis for axis in axes)
    found = np.flip(predictor.create_target(torch.flip(labels, spatial))[0].numpy(), spatial)
    inner = (slice(3, -3),) * 3
    num_found = 0
    channels = predictor.mirrored(axes)
    for values, counted, channel in zip(expected, counts, channels, strict=True):
        if channel is None:
            continue
        back = tuple(-step for step in channel.shift or (0, 0, 0))
        mirrored = np.roll(found[channel.channel], back, (0, 1, 2))
        mirrored = 1 - mirrored if channel.complement else mirrored
        assert counted[inner].any()
        assert np.abs((values - mirrored) * counted)[inner].max() < 1e-5
        num_found += 1
    missing = 0 if axes == (0, 1, 2) else 1  # of the diagonal one
    assert num_found == len(expected) - (missing if kind in ("affinities", "both") else 0)


def test_a_predictor_that_does_not_say_what_mirroring_does_is_refused() -> None:
    class Own(BoundaryPredictor):
        mirrored = Predictor.mirrored

    with pytest.raises(InputError, match=r"mirror=true: Own does not define `mirrored`"):
        Own().mirrored([0])


@pytest.mark.parametrize("name", ["affinities_lsds", "distance", "inner_distance", "boundary"])
def test_ids_of_64_bits_give_the_targets_of_small_ones(name: str) -> None:
    """As on a GPU, where they are not renumbered; their low 32 bits are equal."""
    predictor = small_task_config(name).task_config.build().predictor
    small = torch.randint(0, 3, (1, 6, 6, 6))
    for axis in (1, 2, 3):
        small = small.repeat_interleave(4, axis)
    mask = torch.ones_like(small, dtype=torch.uint8)
    one = predictor.create_target_and_weight(small.int(), mask)
    for step in (2**32, 2**40):
        other = predictor.create_target_and_weight(small * step, mask)
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
