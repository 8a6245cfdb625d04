"""Scores against scikit-image, on random and on degenerate input."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.metrics import adapted_rand_error, variation_of_information

from dacapo.ops.overlap import Overlap, adapted_rand, add_tables, overlap
from dacapo.ops.overlap import variation_of_information as voi

labels = arrays(np.int64, (6, 7), elements=st.integers(0, 4))


@settings(max_examples=200, deadline=None)
@given(labels, labels)
def test_voi_agrees_with_scikit_image(ground_truth: np.ndarray, prediction: np.ndarray) -> None:
    keep = ground_truth != 0
    if not keep.any():
        assert np.isnan(voi(overlap(ground_truth[keep], prediction[keep]))).all()
        return
    # Label 0 is no special label to skimage when nothing is ignored; ours ignores ground truth 0.
    split, merge = variation_of_information(ground_truth[keep], prediction[keep])
    assert voi(overlap(ground_truth[keep], prediction[keep])) == pytest.approx(
        (split, merge), abs=1e-6
    )


@settings(max_examples=200, deadline=None)
@given(labels, labels)
def test_adapted_rand_agrees_with_scikit_image(
    ground_truth: np.ndarray, prediction: np.ndarray
) -> None:
    keep = ground_truth != 0
    ours = adapted_rand(overlap(ground_truth[keep], prediction[keep]))
    if keep.sum() < 2 or np.isnan(ours[0]):
        return  # no pairs: ours is NaN
    # skimage drops predicted 0 on counted voxels too; ours takes it as one segment
    theirs = adapted_rand_error(ground_truth[keep], prediction[keep] + 1, ignore_labels=(0,))
    assert ours[0] == pytest.approx(theirs[0], abs=1e-6)
    # skimage divides by the pairs of the ground truth and calls that precision; the share of the
    # joined pairs
    # that are right is joined pairs in the denominator.
    for mine, other in zip(ours[1:], theirs[:0:-1], strict=True):
        if not np.isnan(mine):
            assert mine == pytest.approx(other, abs=1e-6)


@settings(max_examples=100, deadline=None)
@given(labels, labels, st.integers(1, 2**40))
def test_renaming_objects_changes_nothing(
    ground_truth: np.ndarray, prediction: np.ndarray, factor: int
) -> None:
    keep = ground_truth != 0
    a = overlap(ground_truth[keep], prediction[keep])
    b = overlap(ground_truth[keep] * factor, prediction[keep] * factor + 3)
    assert voi(a) == pytest.approx(voi(b), nan_ok=True)
    assert adapted_rand(a) == pytest.approx(adapted_rand(b), nan_ok=True)


@settings(max_examples=100, deadline=None)
@given(labels)
def test_a_perfect_segmentation(ground_truth: np.ndarray) -> None:
    keep = ground_truth != 0
    if keep.any():
        table = overlap(ground_truth[keep], ground_truth[keep])
        assert voi(table) == pytest.approx((0, 0), abs=1e-12)
        error = adapted_rand(table)[0]
        assert error == 0 or np.isnan(error)  # NaN: no object has two voxels


def test_precision_falls_with_merges_and_recall_with_splits() -> None:
    one, two = np.array([1, 1, 1, 1]), np.array([1, 1, 2, 2])
    merged, split = adapted_rand(overlap(two, one)), adapted_rand(overlap(one, two))
    assert merged[1:] == pytest.approx((1 / 3, 1))
    assert split[1:] == pytest.approx((1, 1 / 3))


def test_split_and_merge_are_not_mixed_up() -> None:
    one, two = np.array([1, 1, 1, 1]), np.array([1, 1, 2, 2])
    assert voi(overlap(one, two)) == (1, 0)  # one object in two pieces: split, 1 bit
    assert voi(overlap(two, one)) == (0, 1)


def test_independent_blocks_add_up() -> None:
    rng = np.random.default_rng(0)
    blocks = [(rng.integers(1, 4, 50), rng.integers(1, 4, 50)) for _ in range(2)]
    both = overlap(
        np.concatenate([blocks[0][0], blocks[1][0] + 10]),
        np.concatenate([blocks[0][1], blocks[1][1] + 10]),
    )
    mean = np.mean([voi(overlap(*b)) for b in blocks], axis=0)
    assert voi(both) == pytest.approx(tuple(mean))


def test_ids_up_to_2_63_without_allocating_by_id() -> None:
    big = np.array([2**63, 2**63, 5, 2**64 - 1], np.uint64)
    assert voi(overlap(big, big)) == (0, 0)
    assert voi(overlap(big, np.array([1, 1, 2, 3]))) == (0, 0)


@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "u4", "i8", "u8", ">u2"])
@pytest.mark.parametrize("cells", [0, 2**22])
def test_any_integers_and_many_pairs(
    dtype: str, cells: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dacapo.ops.pairs._DENSE_CELLS", cells)
    rng = np.random.default_rng(0)
    info = np.iinfo(dtype)
    ground_truth = rng.integers(info.min, info.max, 20_000, np.dtype(dtype).newbyteorder("="), True)
    prediction = rng.integers(0, 3000, ground_truth.shape)
    counted = rng.random(ground_truth.shape) < 0.7
    table = overlap(ground_truth.astype(dtype).astype(ground_truth.dtype), prediction, counted)
    named = zip(
        table.ground_truth_ids[table.rows].tolist(), table.prediction_ids[table.columns].tolist(),
        strict=True,
    )  # fmt: skip
    pairs = zip(ground_truth[counted].tolist(), prediction[counted].tolist(), strict=True)
    assert dict(zip(named, table.counts, strict=True)) == Counter(pairs)
    assert table.total == counted.sum()


def test_deleting_objects_does_not_help() -> None:
    ground_truth = np.array([1, 1, 2, 2])
    assert voi(overlap(ground_truth, np.array([0, 0, 0, 0]))) == (0, 1)


def test_what_counts() -> None:
    ground_truth = np.array([0, 1, 2, 2, 3, 3, 3])
    prediction = np.array([7, 7, 7, 8, 8, 0, 0])
    table = overlap(ground_truth, prediction)
    assert dict(zip(table.ground_truth_ids.tolist(), table.ground_truth, strict=True)) == {
        0: 1,
        1: 1,
        2: 2,
        3: 3,
    }
    assert voi(table.objects()) == voi(overlap(ground_truth[1:], prediction[1:]))
    large = ground_truth > 1
    assert voi(table.objects(2)) == voi(overlap(ground_truth[large], prediction[large]))
    assert np.isnan(voi(table.objects(4))).all()


def test_the_table_is_the_obvious_one() -> None:
    rng = np.random.default_rng(0)
    ground_truth, prediction = rng.integers(0, 6, (2, 9, 8)).astype(np.uint64) * 2**61
    table = overlap(ground_truth, prediction)
    cells = {
        (int(table.ground_truth_ids[r]), int(table.prediction_ids[c])): n
        for r, c, n in zip(table.rows, table.columns, table.counts, strict=True)
    }
    pairs = zip(ground_truth.ravel().tolist(), prediction.ravel().tolist(), strict=True)
    assert cells == Counter(pairs)


def test_a_merged_table_is_that_of_the_merged_prediction() -> None:
    rng = np.random.default_rng(0)
    ground_truth, fragments = rng.integers(0, 5, 300), rng.integers(0, 40, 300)
    segment = np.concatenate([[0], rng.integers(1, 9, 39)])
    ours, theirs = (
        overlap(ground_truth, fragments).merge(segment),
        overlap(ground_truth, segment[fragments]),
    )
    for table in (ours, theirs):
        cells = zip(
            table.ground_truth_ids[table.rows], table.prediction_ids[table.columns], table.counts,
            strict=True,
        )  # fmt: skip
        pairs = np.stack([ground_truth, segment[fragments]])
        assert sorted(cells) == sorted(
            zip(*np.unique(pairs, axis=1), np.unique(pairs, axis=1, return_counts=True)[1],
                strict=True)
        )  # fmt: skip
    assert voi(ours.objects()) == pytest.approx(voi(theirs.objects()))
    assert adapted_rand(ours.objects()) == pytest.approx(adapted_rand(theirs.objects()))


def test_nothing_counts() -> None:
    table = overlap(np.zeros(0, int), np.zeros(0, int))
    assert np.isnan(voi(table)).all()
    assert np.isnan(adapted_rand(table)).all()


def test_wrong_input() -> None:
    with pytest.raises(ValueError, match="differ in shape"):
        overlap(np.zeros(3, int), np.zeros(4, int))
    with pytest.raises(ValueError, match="must be integers"):
        overlap(np.zeros(3), np.zeros(3))


def test_tables_of_parts_add_up(rng: np.random.Generator) -> None:
    large = np.array([0, 1, 7, 2**40, 2**63], np.uint64)
    shape = (11, 6, 5)
    ground_truth, prediction = (large[rng.integers(0, n, shape)] for n in (5, 4))
    counted = rng.random(shape) < 0.7
    whole = overlap(ground_truth, prediction, counted)
    layers = [(ground_truth[i], prediction[i], counted[i]) for i in range(len(counted))]
    parts = add_tables(overlap(*layer) for layer in layers)

    def cells(table: Overlap) -> set[tuple[int, int, float]]:
        ids = table.ground_truth_ids[table.rows], table.prediction_ids[table.columns]
        return set(zip(*(a.tolist() for a in ids), table.counts.tolist(), strict=True))

    assert cells(parts) == cells(whole)
    for name in ("ground_truth", "prediction", "ground_truth_ids", "prediction_ids"):
        assert np.array_equal(getattr(parts, name), getattr(whole, name)), name
    assert voi(parts) == voi(whole)
