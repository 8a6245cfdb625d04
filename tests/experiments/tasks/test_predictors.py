from __future__ import annotations

import numpy as np
import pytest
import torch
from funlib.geometry import Coordinate, Roi

from dacapo.experiments.tasks.predictors import (
    AffinitiesPredictor,
    CombinedPredictor,
    DescriptorsPredictor,
)

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
