from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dacapo.errors import InputError
from dacapo.experiments.tasks import AffinitiesTaskConfig, BoundaryTaskConfig, OneHotTaskConfig
from dacapo.experiments.tasks.evaluators import (
    Evaluator,
    GroundTruth,
    InstanceEvaluator,
    Scores,
    SemanticEvaluator,
)
from dacapo.experiments.tasks.label_groups import LabelGroups
from dacapo.experiments.tasks.post_processors import LookupSegmentation
from dacapo.ops.run_length import Skeletons
from dacapo.ops.surfaces import Shape, SurfaceDistances, mean_distance

GROUPS = LabelGroups({"mito": [3, 4], "er": [7]})
volumes = arrays(np.int64, (3, 5, 6), elements=st.integers(0, 3))


def numbers(scores: Scores) -> dict[str, float]:
    return {name: getattr(scores, name) for name in scores.criteria}


def semantic(output: np.ndarray, gt: np.ndarray, **ground_truth: object) -> Scores:
    return SemanticEvaluator(GROUPS).against(GroundTruth(gt, **ground_truth))(output)  # type: ignore[arg-type, return-value]


@pytest.mark.parametrize(
    "evaluator", [InstanceEvaluator(run_length=True), SemanticEvaluator(GROUPS)]
)
@settings(max_examples=60, deadline=None)
@given(output=volumes, gt=volumes, mask=arrays(np.bool_, (3, 5, 6)))
def test_true_bounds_and_reasons(
    evaluator: Evaluator, output: np.ndarray, gt: np.ndarray, mask: np.ndarray
) -> None:
    output = output if isinstance(evaluator, InstanceEvaluator) else output % 3
    scores = evaluator.against(GroundTruth(gt + (gt == 2) * 5, mask, (40.0, 4.6, 4.6)))(output)
    assert isinstance(scores, Scores)
    for name, value in numbers(scores).items():
        low, high = scores.bounds(name)
        if math.isnan(value):
            assert scores.reason(name)
        else:
            assert low <= value <= high, name
            assert not scores.reason(name)


@pytest.mark.parametrize("evaluator", [InstanceEvaluator(3), SemanticEvaluator(GROUPS)])
@settings(max_examples=40, deadline=None)
@given(output=volumes, gt=volumes, mask=arrays(np.bool_, (3, 5, 6)), noise=volumes)
def test_what_is_not_annotated_changes_no_score(
    evaluator: Evaluator, output: np.ndarray, gt: np.ndarray, mask: np.ndarray, noise: np.ndarray
) -> None:
    output = output % 3
    scrambled = np.where(mask, gt, noise * 7)
    assert evaluator.evaluate(output, gt, mask) == evaluator.evaluate(output, scrambled, mask)
    elsewhere = np.where(mask, output, noise % 3)
    if isinstance(evaluator, InstanceEvaluator):
        assert evaluator.evaluate(output, gt, mask) == evaluator.evaluate(elsewhere, gt, mask)


@pytest.mark.parametrize("evaluator", [InstanceEvaluator(), SemanticEvaluator(GROUPS)])
def test_against_one_ground_truth_many_outputs_are_scored_as_each_alone(
    evaluator: Evaluator,
) -> None:
    rng = np.random.default_rng(0)
    gt = rng.choice([0, 3, 4, 7], (4, 6, 6))
    score = evaluator.against(GroundTruth(gt))
    for _ in range(3):
        output = rng.integers(0, 3, gt.shape)
        assert score(output) == evaluator.evaluate(output, gt)


def test_fragments_merged_are_scored_as_their_volume() -> None:
    rng = np.random.default_rng(0)
    gt, fragments = rng.integers(0, 5, (4, 6, 6)), rng.integers(0, 30, (4, 6, 6))
    mask = rng.random(gt.shape) < 0.9
    position = rng.uniform(0, 4, (5, 3))
    skeletons = Skeletons(np.zeros(5, int), position, np.array([[0, 1], [2, 3]]), np.ones(2))
    score = InstanceEvaluator(2, run_length=True).against(
        GroundTruth(gt, mask, skeletons=skeletons)
    )
    for _ in range(3):
        merged = LookupSegmentation(fragments, np.concatenate([[0], rng.integers(1, 9, 29)]))
        ours, theirs = numbers(score(merged)), numbers(score(merged.volume()))
        assert ours == pytest.approx(theirs, rel=1e-12)


class TestScores:
    def test_equal_where_both_are_nan(self) -> None:
        table = InstanceEvaluator().evaluation_scores._table.values()
        assert Scores(list(table)) == Scores(list(table))
        assert Scores(list(table)) != Scores(list(table), {"voi": 1})

    def test_an_unknown_score_names_the_known_ones(self) -> None:
        with pytest.raises(AttributeError, match="no score 'nope'; there are voi_split"):
            _ = InstanceEvaluator().evaluation_scores.nope


class TestInstances:
    def test_criteria_have_directions_bounds_and_values(self) -> None:
        ground_truth = np.array([[1, 1, 2, 2]])
        scores = InstanceEvaluator().evaluate(np.array([[1, 1, 1, 1]]), ground_truth)
        assert list(scores.criteria[:6]) == [
            "voi_split", "voi_merge", "voi",
            "adapted_rand_error", "adapted_rand_precision", "adapted_rand_recall",
        ]  # fmt: skip
        assert scores.bounds("voi") == (0, math.inf)
        assert scores.bounds("adapted_rand_error") == (0, 1)
        assert scores.higher_is_better("adapted_rand_recall")
        assert scores.higher_is_better("f1_50")
        assert not scores.higher_is_better("voi")
        assert scores.voi == scores.voi_merge == 1
        assert (scores.num_objects, scores.num_segments, scores.count_error) == (2, 1, 1)
        assert scores.f1_50 == scores.average_precision == 0  # an IoU of 0.5 is not above it

    def test_background_counts_where_it_is_annotated_for_objects_found_only(self) -> None:
        gt = np.array([[1, 1, 0, 0, 0]])
        invented = np.array([[1, 1, 0, 5, 5]])
        scores = InstanceEvaluator().evaluate(invented, gt)
        assert scores.voi == 0  # ground truth 0 is left out
        assert scores.precision_50 == 0.5
        masked = InstanceEvaluator().evaluate(invented, gt, gt)
        assert masked.precision_50 == 1

    def test_ids_up_to_2_63(self) -> None:
        gt = np.array([[2**63, 2**63, 2**62, 2**62]], np.uint64)
        scores = InstanceEvaluator().evaluate(gt // 2 + 7, gt)
        assert scores.voi == 0
        assert scores.f1_75 == 1

    def test_nothing_annotated_is_nan_with_a_reason(self) -> None:
        scores = InstanceEvaluator().evaluate(np.ones((3, 3), int), np.zeros((3, 3), int))
        for name in ("voi", "adapted_rand_error", "recall_50"):
            assert math.isnan(getattr(scores, name))
            assert scores.reason(name) == "no ground-truth object is annotated and large enough"

    def test_run_length_along_skeletons(self) -> None:
        gt = np.ones((1, 1, 8), np.uint8)
        output = np.array([[[9, 9, 9, 9, 2**40, 2**40, 2**40, 2**40]]])
        position = np.array([[0.5, 0.5, x + 0.5] for x in (0, 2, 4, 6, 30)])
        edges = np.array([[0, 1], [1, 2], [2, 3], [3, 4]])
        skeletons = Skeletons(np.zeros(5, int), position, edges, np.full(4, 2.0))
        score = InstanceEvaluator(run_length=True).against(GroundTruth(gt, skeletons=skeletons))
        assert score(gt).expected_run_length == 6
        assert score(gt).normalized_expected_run_length == 1
        split = score(output)  # the edge over the split is lost
        assert split.expected_run_length == pytest.approx((2**2 + 2**2) / 6)
        assert math.isnan(score(gt * 0).expected_run_length) is False
        without = InstanceEvaluator(run_length=True).evaluate(output, gt)
        assert without.reason("expected_run_length") == "no skeletons"

    def test_counts_select_nothing(self) -> None:
        with pytest.raises(InputError, match=r"criterion=num_segments: there is no such score"):
            AffinitiesTaskConfig(neighborhood=[[1, 0]], criterion="num_segments").build()

    def test_thresholds_below_a_half_are_refused(self) -> None:
        with pytest.raises(InputError, match=r"task.iou_thresholds=\[0.3\]: .* at least 0.5"):
            BoundaryTaskConfig(iou_thresholds=[0.3]).build()


class TestClasses:
    def test_per_class_and_averaged(self) -> None:
        gt = np.array([[3, 4, 4, 0, 7, 7]])
        output = np.array([[1, 1, 0, 0, 2, 2]])
        scores = semantic(output, gt)
        assert scores.mito__dice == pytest.approx(2 * 2 / (2 + 3))
        assert scores.er__dice == 1
        assert scores.dice == pytest.approx((0.8 + 1) / 2)
        assert scores.mito__precision == 1
        assert scores.mito__recall == pytest.approx(2 / 3)
        assert scores.mito__false_discovery_rate == 0
        channels = np.stack([output == 1, output == 2]).astype(np.uint8)
        assert semantic(channels, gt) == scores

    def test_distances_are_those_of_ops_in_world_units(self) -> None:
        rng = np.random.default_rng(0)
        gt = np.where(rng.random((6, 9, 9)) < 0.4, 7, 0)
        output = np.where(rng.random((6, 9, 9)) < 0.4, 2, 0)
        size = (283.72, 126.79, 126.79)
        scores = SemanticEvaluator(GROUPS, 150.0, 200.0).against(GroundTruth(gt, None, size))(
            output
        )
        everywhere = np.ones(gt.shape, bool)
        ground_truth, prediction = (Shape(a != 0, everywhere, size) for a in (gt, output))
        surfaces = SurfaceDistances(ground_truth, prediction)
        assert scores.er__hausdorff == surfaces.hausdorff
        assert scores.er__surface_dice == surfaces.dice(150)
        assert scores.er__mean_false_distance == pytest.approx(
            (mean_distance(ground_truth, prediction) + mean_distance(prediction, ground_truth)) / 2
        )
        assert scores.er__mean_false_distance_clipped <= 200

    def test_tolerance(self) -> None:
        gt = np.zeros((1, 12), int)
        output = np.zeros((1, 12), int)
        gt[0, 2:6] = 7
        output[0, 3:9] = (
            2  # one voxel missing, three too many, of which one is next to ground truth
        )
        scores = SemanticEvaluator(GROUPS, tolerance=1.0).against(GroundTruth(gt))(output)
        assert scores.er__precision == pytest.approx(3 / 6)
        assert scores.er__precision_tolerant == pytest.approx(4 / 6)
        assert scores.er__recall == pytest.approx(3 / 4)
        assert scores.er__recall_tolerant == 1
        assert scores.er__dice_tolerant == pytest.approx((4 + 4) / (6 + 4))
        assert scores.er__jaccard_tolerant == pytest.approx(4 / (4 + 2))
        assert scores.er__f1_tolerant == pytest.approx(2 * (4 / 6) / (4 / 6 + 1))

    def test_leaving_out_a_class_does_not_help(self) -> None:
        gt = np.array([[3, 3, 0, 0, 7, 7, 0]])
        scores = semantic(np.array([[1, 1, 0, 0, 0, 0, 0]]), gt)
        assert scores.dice == 0.5
        assert math.isnan(scores.precision)
        assert scores.reason("precision") == "nan for er"
        assert scores.reason("er__precision") == "the prediction is empty"

    def test_all_within_the_tolerance_is_right(self) -> None:
        gt, output = np.zeros((2, 3, 9), int)
        gt[:, 4], output[:, 5] = 7, 2  # a sheet of one voxel, one voxel off
        scores = SemanticEvaluator(GROUPS, tolerance=1.0).against(GroundTruth(gt))(output)
        assert scores.er__f1_tolerant == 1
        for name in ("dice", "jaccard", "precision", "recall"):
            assert getattr(scores, f"er__{name}_tolerant") == 1
            assert getattr(scores, f"er__{name}") == 0

    @pytest.mark.parametrize(("size", "steps"), [(0.1, 7), (2.9, 3), (3.9, 3), (2.7, 5), (4.6, 6)])
    def test_exactly_the_tolerance_is_within_it(self, size: float, steps: int) -> None:
        gt, output = np.zeros((2, 3, 20), int)
        gt[:, 4], output[:, 4 + steps] = 7, 2
        tolerance = round(size * steps, 6)
        scores = SemanticEvaluator(GROUPS, tolerance).against(GroundTruth(gt, None, (size, size)))(
            output
        )
        assert scores.er__surface_dice == scores.er__precision_tolerant == 1

    def test_settings_that_change_a_score_are_in_its_name(self) -> None:
        for criterion, evaluators in {
            "surface_dice": [SemanticEvaluator(GROUPS, t) for t in (None, 8.0, 80.0)],
            "mean_false_distance_clipped": [
                SemanticEvaluator(GROUPS, None, c) for c in (None, 8.0, 80.0)
            ],
            "voi": [InstanceEvaluator(n) for n in (0, 100, 200)],
        }.items():
            texts = {e.evaluation_scores.describe(criterion)[1] for e in evaluators}
            assert len(texts) == 3, texts

    def test_a_class_that_ground_truth_does_not_hold_counts_only_when_invented(self) -> None:
        gt = np.array([[3, 3, 0, 0]])
        right, invented = (semantic(np.array([o]), gt) for o in ([1, 1, 0, 0], [1, 1, 0, 2]))
        assert right.dice == 1
        assert right.reason("er__dice") == "both are empty"
        assert invented.er__dice == 0
        assert invented.dice == 0.5
        assert invented.false_positive_rate > right.false_positive_rate == 0

    def test_a_class_that_is_not_annotated_is_nan(self) -> None:
        gt = np.array([[3, 3, 0, 7]])
        mask = np.array([[[1, 1, 1, 1]], [[0, 0, 0, 0]]])
        scores = semantic(np.array([[1, 1, 0, 0]]), gt, mask=mask)
        assert scores.dice == scores.mito__dice == 1
        assert math.isnan(scores.er__dice)
        assert scores.reason("er__dice") == "no voxel is annotated for this class"

    def test_everything_masked(self) -> None:
        gt = np.array([[3, 3, 0, 7]])
        scores = semantic(np.array([[1, 1, 0, 2]]), gt, mask=np.zeros_like(gt))
        assert all(math.isnan(v) for v in numbers(scores).values())

    def test_without_groups_all_that_is_not_0_is_one_class(self) -> None:
        gt = np.array([[9, 2**40, 0, 0]])
        scores = SemanticEvaluator(LabelGroups()).evaluate(np.array([[1, 1, 0, 0]]), gt)
        assert scores.object__dice == scores.dice == 1

    def test_a_wrong_shape_is_refused(self) -> None:
        with pytest.raises(ValueError, match="an output of 2 classes for ground truth"):
            semantic(np.zeros((3, 4)), np.zeros((4, 4), int))

    def test_what_a_picture_shows(self) -> None:
        gt = np.array([[3, 4, 7, 0]])
        both = SemanticEvaluator(GROUPS).shown(gt, np.array([[[1, 1, 0, 0]], [[0, 1, 1, 0]]]))
        assert [labels.tolist() for labels in both] == [[[1, 1, 2, 0]], [[1, 1, 2, 0]]]


class TestLabelGroups:
    def test_bad_classes(self) -> None:
        for classes, message in (
            ({}, "task.classes is empty"),
            ({"a": []}, r"task.classes.a=\[\]: give the label ids"),
            ({"a": [0]}, r"task.classes.a=\[0\]: give the label ids"),
            ({"a_": [1]}, "'a_' becomes part of the names of scores"),
            ({"a b": [1]}, "'a b' becomes part of the names of scores"),
            ({"a": [1], "b": [1]}, "label 1 is in more than one class"),
        ):
            with pytest.raises(InputError, match=message):
                OneHotTaskConfig(classes=classes)

    def test_grouped_and_overlapping_classes(self) -> None:
        import torch

        groups = LabelGroups({"cell": [1, 2, 2**40], "mito": [2]})
        labels = np.array([0, 1, 2, 2**40, 77])
        codes = groups.encode(torch.from_numpy(labels))
        assert codes.dtype == torch.int32
        members = groups.members(codes[None])[0]
        assert members.int().tolist() == [[0, 1, 1, 1, 0], [0, 0, 1, 0, 0]]
        assert np.array_equal(groups.split(labels), members.numpy())
