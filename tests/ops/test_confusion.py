"""Rates of voxels against their definitions, SimpleITK and scikit-image.

SimpleITK's errors of false positives and negatives mean other things in other versions; only its
overlaps are taken.
"""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays
from skimage.metrics import variation_of_information

from dacapo.ops.confusion import Confusion, harmonic_mean

masks = arrays(np.bool_, (5, 6))
EVERYWHERE = np.ones((5, 6), bool)


@settings(max_examples=100, deadline=None)
@given(masks, masks, masks)
def test_agrees_with_the_definitions(
    ground_truth: np.ndarray, prediction: np.ndarray, counted: np.ndarray
) -> None:
    c = Confusion.of(ground_truth, prediction, counted)
    t, p = ground_truth[counted], prediction[counted]
    tp, fp, fn, tn = (t & p).sum(), (~t & p).sum(), (t & ~p).sum(), (~t & ~p).sum()
    assert (c.tp, c.fp, c.fn, c.tn) == (tp, fp, fn, tn)
    with np.errstate(invalid="ignore"):
        expected = {
            "dice": 2 * tp / (t.sum() + p.sum()),
            "jaccard": tp / (t | p).sum(),
            "precision": tp / p.sum(),
            "recall": tp / t.sum(),
            "false_positive_rate": fp / (~t).sum(),
            "false_negative_rate": fn / t.sum(),
            "false_discovery_rate": fp / p.sum(),
        }
    for name, value in expected.items():
        assert getattr(c, name) == pytest.approx(value, abs=1e-12, nan_ok=True), name


@settings(max_examples=50, deadline=None)
@given(masks, masks)
def test_agrees_with_simpleitk(ground_truth: np.ndarray, prediction: np.ndarray) -> None:
    c = Confusion.of(ground_truth, prediction, EVERYWHERE)
    if not ground_truth.any() or not prediction.any():
        return  # undefined here; SimpleITK has numbers of its own
    measures = sitk.LabelOverlapMeasuresImageFilter()
    measures.Execute(
        *(sitk.GetImageFromArray(a.astype(np.uint8)) for a in (ground_truth, prediction))
    )
    assert c.dice == pytest.approx(measures.GetDiceCoefficient(1), abs=1e-6)
    assert c.jaccard == pytest.approx(measures.GetJaccardCoefficient(1), abs=1e-6)


@settings(max_examples=50, deadline=None)
@given(masks, masks)
def test_voi_agrees_with_scikit_image(ground_truth: np.ndarray, prediction: np.ndarray) -> None:
    theirs = sum(variation_of_information(ground_truth.astype(int), prediction.astype(int)))
    assert Confusion.of(ground_truth, prediction, EVERYWHERE).voi == pytest.approx(theirs, abs=1e-6)


def test_degenerate() -> None:
    nothing = np.zeros((5, 6), bool)
    both = Confusion.of(nothing, nothing, EVERYWHERE)
    assert np.isnan([both.dice, both.jaccard, both.precision, both.recall]).all()
    assert both.false_positive_rate == both.voi == 0
    missed = Confusion.of(EVERYWHERE, nothing, EVERYWHERE)
    assert missed.dice == missed.recall == 0
    assert np.isnan([missed.precision, missed.false_positive_rate]).all()
    invented = Confusion.of(nothing, EVERYWHERE, EVERYWHERE)
    assert invented.dice == invented.precision == 0
    assert np.isnan(invented.recall)
    masked = Confusion.of(EVERYWHERE, EVERYWHERE, nothing)
    assert np.isnan([masked.dice, masked.voi]).all()


def test_false_discovery_is_not_the_false_positive_rate() -> None:
    # 60 of 305 predicted voxels are wrong: 0.197, of a large background a small share.
    c = Confusion(tp=245, fp=60, fn=0, tn=10_000)
    assert c.false_discovery_rate == pytest.approx(1 - c.precision)
    assert c.false_discovery_rate == pytest.approx(0.1967, abs=1e-4)
    assert c.false_positive_rate == pytest.approx(60 / 10_060)


def test_harmonic_mean() -> None:
    assert harmonic_mean(1, 0.5) == pytest.approx(2 / 3)
    assert harmonic_mean(0, 0) == 0
    assert np.isnan(harmonic_mean(float("nan"), 1))
