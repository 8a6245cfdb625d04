from __future__ import annotations

import numpy as np
import pytest
import torch
from funlib.geometry import Coordinate, Roi

from dacapo.experiments.run import Run
from dacapo.experiments.tasks.losses import AffinitiesLoss
from dacapo.experiments.tasks.losses.loss import weighted_mean
from dacapo.experiments.tasks.post_processors import MutexWatershedPostProcessor
from dacapo.experiments.tasks.predictors import AffinitiesPredictor
from dacapo.ops.affinities import affinities
from dacapo.ops.overlap import overlap, variation_of_information
from tests.conftest import small_run_config

OFFSETS = [[1, 0, 0], [0, -1, 0], [0, 0, 3]]


def random_labels(shape: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 4, shape).astype(np.int32))


class TestPredictor:
    @pytest.mark.parametrize(("dims", "extra"), [(2, 6), (3, 10)])
    def test_lsds_add_channels_to_head_target_and_weight(self, dims: int, extra: int) -> None:
        offsets = [[1] + [0] * (dims - 1)]
        labels = random_labels((1, *[9] * dims))
        for lsds, channels in ((False, 1), (True, 1 + extra)):
            predictor = AffinitiesPredictor(offsets, lsds, lsd_sigma=2.0)
            target = predictor.create_target(labels)
            weight = predictor.create_weight(labels, target, torch.ones_like(labels))
            assert predictor.num_channels == target.shape[1] == weight.shape[1] == channels

    def test_context_grows_for_positive_and_negative_offsets(self) -> None:
        predictor = AffinitiesPredictor([[2, 0, 0], [0, -3, 0]])
        region = predictor.gt_region_for_roi(Roi((0, 0, 0), (40, 40, 40)), Coordinate(4, 2, 2))
        assert region == Roi((0, -6, 0), (48, 46, 40))

    def test_context_of_lsds(self) -> None:
        predictor = AffinitiesPredictor([[1, 0]], lsds=True, lsd_sigma=2.0)
        region = predictor.gt_region_for_roi(Roi((0, 0), (80, 80)), Coordinate(8, 4))
        assert region == Roi((-24, -24), (128, 128))  # 3 sigma of 2 voxels of 4 units

    def test_targets_in_the_middle_do_not_depend_on_more_context(self) -> None:
        predictor = AffinitiesPredictor(OFFSETS, lsds=True, lsd_sigma=1.0)
        labels = random_labels((1, 20, 20, 20))
        whole = predictor.create_target(labels)[..., 7:13, 7:13, 7:13]
        less = predictor.create_target(labels[:, 3:17, 3:17, 3:17])[..., 4:10, 4:10, 4:10]
        assert torch.allclose(whole, less, atol=1e-6)

    def test_the_unknown_weighs_nothing(self) -> None:
        predictor = AffinitiesPredictor(OFFSETS, lsds=True, lsd_sigma=2.0)
        labels = random_labels((1, 8, 8, 8))
        mask = (torch.rand(1, 8, 8, 8) < 0.7).int()
        weight = predictor.create_weight(labels, predictor.create_target(labels), mask)
        assert (weight[:, :, mask[0] == 0] == 0).all()
        assert (weight[0, 0, -1] == 0).all()  # the neighbour lies outside
        assert (weight[0, 1, :, 0] == 0).all()
        assert (weight[0, 2, :, :, -3:] == 0).all()
        assert (weight[:, 3:][:, :, labels[0] == 0] == 0).all()  # background has no shape

    def test_the_shape_of_an_object_is_known_less_beside_what_is_not_annotated(self) -> None:
        predictor = AffinitiesPredictor([[1, 0]], lsds=True, lsd_sigma=2.0)
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


class TestLoss:
    def test_weight_0_has_exactly_no_influence(self) -> None:
        loss = AffinitiesLoss(2)
        target, weight = torch.rand(1, 5, 4, 4).round(), torch.rand(1, 5, 4, 4)
        weight[..., 2:] = 0
        prediction = torch.randn(1, 5, 4, 4)
        changed, other = prediction.clone(), target.clone()
        changed[..., 2:] = float("inf")
        other[..., 2:] = 1 - other[..., 2:]
        results = []
        for p, t in ((prediction, target), (changed, other)):
            p.requires_grad_()
            value = loss.compute(p, t, weight)
            value.backward()
            assert p.grad is not None
            results.append((value.item(), p.grad[..., :2].clone(), p.grad[..., 2:].abs().sum()))
        assert results[0][0] == results[1][0]
        assert torch.equal(results[0][1], results[1][1])
        assert results[0][2] == 0

    def test_by_hand(self) -> None:
        value = AffinitiesLoss(1).compute(
            torch.zeros(1, 1, 2), torch.ones(1, 1, 2), torch.tensor([[[1.0, 3.0]]])
        )
        assert value.item() == pytest.approx(np.log(2))

    def test_lsds_are_trained(self) -> None:
        prediction = torch.zeros(1, 3, 4, requires_grad=True)
        AffinitiesLoss(1).compute(prediction, torch.ones(1, 3, 4), torch.ones(1, 3, 4)).backward()
        assert prediction.grad is not None
        assert (prediction.grad != 0).all()

    def test_nothing_known(self) -> None:
        assert weighted_mean(torch.ones(3), torch.zeros(3)) == 0


class TestPostProcessor:
    def affinities(self) -> tuple[np.ndarray, np.ndarray]:
        labels = np.ones((12, 12), np.int32)
        labels[:, 6:] = 2
        labels[5, 8] = 3
        exact = affinities(torch.from_numpy(labels)[None], [[1, 0], [0, 1], [0, 4]])[0]
        return labels, exact.float().numpy() * 0.8 + 0.1

    def test_exact_affinities_give_the_truth(self) -> None:
        labels, prediction = self.affinities()
        post = MutexWatershedPostProcessor([[1, 0], [0, 1], [0, 4]], [0.5], [0.5])
        out = post.process(prediction, post.enumerate_parameters()[0])
        assert variation_of_information(overlap(labels, out)) == (0, 0)

    def test_the_biases_act_on_their_groups(self) -> None:
        _, prediction = self.affinities()
        post = MutexWatershedPostProcessor([[1, 0], [0, 1], [0, 4]], [0.05, 0.95], [0.5])
        low, high = (post.process(prediction, p) for p in post.enumerate_parameters())
        assert high.max() > low.max()

    def test_all_at_once_is_one_by_one(self) -> None:
        _, prediction = self.affinities()
        post = MutexWatershedPostProcessor(
            [[1, 0], [0, 1], [0, 4]], [0.3, 0.5], [0.5, 0.7], [0, 5], long_stride=2
        )
        every = dict(post.process_all(prediction))
        assert list(every) == post.enumerate_parameters()
        assert len(every) == 8
        for parameters, segments in every.items():
            assert np.array_equal(segments, post.process(prediction, parameters))

    def test_lsds_in_the_prediction_are_left_aside(self) -> None:
        _, prediction = self.affinities()
        post = MutexWatershedPostProcessor([[1, 0], [0, 1], [0, 4]], [0.5], [0.5])
        (parameters,) = post.enumerate_parameters()
        more = np.concatenate([prediction, np.random.default_rng(0).random((6, 12, 12))])
        assert np.array_equal(
            post.process(more.astype(np.float32), parameters), post.process(prediction, parameters)
        )


class TestEvaluator:
    def test_criteria_have_directions_bounds_and_values(self) -> None:
        evaluator = Run(small_run_config()).task.evaluator
        truth = np.array([[1, 1, 2, 2]])
        scores = evaluator.evaluate(np.array([[1, 1, 1, 1]]), truth)
        assert scores.criteria == [
            "voi_split", "voi_merge", "voi",
            "adapted_rand_error", "adapted_rand_precision", "adapted_rand_recall",
        ]  # fmt: skip
        assert scores.bounds("voi") == (0, float("inf"))
        assert scores.bounds("adapted_rand_error") == (0, 1)
        for criterion in scores.criteria:
            low, high = scores.bounds(criterion)
            assert low <= getattr(scores, criterion) <= high
        assert scores.higher_is_better("adapted_rand_recall")
        assert not scores.higher_is_better("voi")

    def test_scrambling_where_nothing_is_known_changes_no_score(self) -> None:
        evaluator = Run(small_run_config()).task.evaluator
        rng = np.random.default_rng(0)
        truth, output = rng.integers(0, 5, (2, 9, 9))
        mask = rng.random((9, 9)) < 0.6
        other = np.where(mask, truth, rng.integers(0, 99, (9, 9)))
        assert evaluator.evaluate(output, truth, mask) == evaluator.evaluate(output, other, mask)

    def test_nothing_annotated_is_nan(self) -> None:
        evaluator = Run(small_run_config()).task.evaluator
        scores = evaluator.evaluate(np.ones((3, 3), int), np.zeros((3, 3), int))
        assert all(np.isnan(getattr(scores, c)) for c in scores.criteria)
