"""Matches against a brute force, torchmetrics' panoptic quality, and by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.measure import label
from torchmetrics.functional.detection import panoptic_quality

from dacapo.ops.detection import AVERAGED_OVER, Detection
from dacapo.ops.overlap import overlap

labels = arrays(np.int64, (6, 7), elements=st.integers(0, 4))


def slow(
    ground_truth: np.ndarray, prediction: np.ndarray, threshold: float
) -> tuple[int, int, int, float]:
    """True positives, objects, segments, the sum of the matched overlaps."""
    objects = [i for i in np.unique(ground_truth) if i]
    segments = [i for i in np.unique(prediction) if i]
    ious = [
        ((ground_truth == t) & (prediction == p)).sum()
        / ((ground_truth == t) | (prediction == p)).sum()
        for t in objects
        for p in segments
    ]
    matched = [i for i in ious if i > threshold]
    return len(matched), len(objects), len(segments), float(sum(matched))


@settings(max_examples=200, deadline=None)
@given(labels, labels, st.sampled_from([0.5, 0.6, 0.75, 0.9]))
def test_agrees_with_brute_force(
    ground_truth: np.ndarray, prediction: np.ndarray, threshold: float
) -> None:
    found = Detection.of(overlap(ground_truth, prediction))
    tp, objects, segments, matched = slow(ground_truth, prediction, threshold)
    assert (found.num_objects, found.num_segments) == (objects, segments)
    assert found.matches(threshold) == tp
    expected = {
        "precision": (tp, segments),
        "recall": (tp, objects),
        "f1": (2 * tp, objects + segments),
        "panoptic_quality": (2 * matched, objects + segments),
        "matched_share": (tp, objects + segments - tp),
    }
    for name, (part, whole) in expected.items():
        value = part / whole if whole else float("nan")
        assert getattr(found, name)(threshold) == pytest.approx(value, abs=1e-9, nan_ok=True)


@settings(max_examples=50, deadline=None)
@given(labels, labels)
def test_panoptic_quality_agrees_with_torchmetrics(
    ground_truth: np.ndarray, prediction: np.ndarray
) -> None:
    found = Detection.of(overlap(ground_truth, prediction))
    if not found.num_objects and not found.num_segments:
        return
    pair = [
        torch.from_numpy(np.stack([(a != 0).astype(np.int64), a], axis=-1))[None]
        for a in (prediction, ground_truth)
    ]
    theirs = panoptic_quality(*pair, things={1}, stuffs={0}, return_per_class=True)
    assert found.panoptic_quality(0.5) == pytest.approx(float(theirs.reshape(-1)[0]), abs=1e-6)


@settings(max_examples=100, deadline=None)
@given(labels, labels, st.integers(1, 2**40))
def test_bounds_and_names(ground_truth: np.ndarray, prediction: np.ndarray, factor: int) -> None:
    found = Detection.of(overlap(ground_truth, prediction))
    renamed = Detection.of(overlap(ground_truth * factor, prediction * (factor + 2)))
    assert found.average_precision() == pytest.approx(renamed.average_precision(), nan_ok=True)
    for name in ("precision", "recall", "f1", "panoptic_quality", "matched_share"):
        value = getattr(found, name)(0.5)
        assert np.isnan(value) or 0 <= value <= 1
    swapped = Detection.of(overlap(prediction, ground_truth))
    assert swapped.f1(0.5) == pytest.approx(found.f1(0.5), nan_ok=True)
    assert swapped.precision(0.5) == pytest.approx(found.recall(0.5), nan_ok=True)


def test_a_perfect_segmentation_of_separate_objects() -> None:
    ground_truth = label(np.random.default_rng(0).random((20, 20)) < 0.4, connectivity=1)
    found = Detection.of(overlap(ground_truth, ground_truth))
    assert found.average_precision() == found.f1(0.9) == found.panoptic_quality(0.5) == 1
    assert found.count_error == 0


def test_average_precision_by_hand() -> None:
    ground_truth = np.array([1] * 10)
    prediction = np.array([1] * 7 + [0] * 3)  # IoU 0.7: matches at 0.50 to 0.65
    found = Detection.of(overlap(ground_truth, prediction))
    assert len(AVERAGED_OVER) == 10
    assert found.average_precision() == pytest.approx(0.4)


def test_small_objects_are_neither_missed_nor_invented() -> None:
    ground_truth = np.array([1, 1, 1, 1, 0, 2, 2, 0, 0])
    prediction = np.array([5, 5, 5, 5, 0, 6, 6, 6, 0])
    plain, ignoring = (Detection.of(overlap(ground_truth, prediction), n) for n in (0, 3))
    assert (plain.num_objects, plain.num_segments) == (2, 2)
    assert (ignoring.num_objects, ignoring.num_segments) == (1, 1)
    assert ignoring.f1(0.5) == 1


def test_degenerate() -> None:
    nothing, something = np.zeros(4, int), np.array([0, 1, 1, 0])
    none = Detection.of(overlap(nothing, nothing))
    assert np.isnan([none.precision(0.5), none.recall(0.5), none.f1(0.5)]).all()
    assert np.isnan(none.average_precision())
    missed = Detection.of(overlap(something, nothing))
    assert np.isnan(missed.precision(0.5))
    assert missed.recall(0.5) == missed.f1(0.5) == missed.average_precision() == 0
    invented = Detection.of(overlap(nothing, something))
    assert np.isnan(invented.recall(0.5))
    assert invented.precision(0.5) == invented.f1(0.5) == 0
    masked = Detection.of(overlap(nothing[:0], nothing[:0]))
    assert (masked.num_objects, masked.num_segments) == (0, 0)
