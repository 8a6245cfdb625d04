"""Colours of labels, and marks of errors."""

from __future__ import annotations

import numpy as np
import pytest

from dacapo.figures.colours import (
    ADDED,
    MISSED,
    UNKNOWN,
    contrast,
    distinct_colours,
    grey_image,
    mark_errors,
    mark_unknown,
    matching_numbers,
)
from dacapo.figures.pictures import nice_length, richest


def test_a_few_bright_voxels_do_not_make_a_dark_image() -> None:
    dim = np.linspace(0.01, 0.02, 10_000).reshape(100, 100)
    dim[0, 0] = 1.0
    assert contrast(dim)[1] < 0.021
    assert grey_image(dim).mean() == pytest.approx(0.5, abs=0.01)
    assert grey_image(np.zeros((3, 3))).max() == 0  # not a division by zero


def test_a_correct_segmentation_has_the_numbers_of_the_ground_truth() -> None:
    gt = np.array([[7, 7, 0], [9, 9, 9]], np.uint64) + np.uint64(2**40)
    gt[gt == 2**40] = 0
    objects, segments = matching_numbers(gt, np.array([[3, 3, 0], [1, 1, 1]]))
    assert (objects == segments).all()
    assert (objects == 0).tolist() == (gt == 0).tolist()


def test_a_split_and_a_merge_have_numbers_of_their_own() -> None:
    gt = np.array([[1, 1, 1, 2, 2, 0]])
    objects, segments = matching_numbers(gt, np.array([[5, 5, 6, 5, 5, 7]]))
    assert objects.tolist() == [[1, 1, 1, 2, 2, 0]]
    assert segments[0, 0] in (1, 2)
    assert segments[0, 2] in (1, 2) or segments[0, 2] > 2
    assert segments[0, 5] > 2  # false: it covers no object
    assert len(set(segments[0].tolist())) == 3
    full, found = matching_numbers(np.full((2, 2), 4), np.full((2, 2), 0))
    assert full.min() == 1
    assert found.max() == 0


def test_neighbours_have_different_colours() -> None:
    labels = np.arange(1, 401).reshape(20, 20).repeat(3, 0).repeat(3, 1)
    palette = distinct_colours([labels])
    colours = palette[labels]
    for one, other in ((colours[3:], colours[:-3]), (colours[:, 3:], colours[:, :-3])):
        assert (one != other).any(axis=-1).all()


def test_errors_are_marked_where_a_border_is_missed_or_added() -> None:
    gt = np.ones((20, 40), int)
    gt[:, 10:] = 2
    segments = np.ones((20, 40), int)
    segments[:, 30:] = 2
    known = np.ones((20, 40), bool)
    known[:5] = False
    marked = mark_errors(np.zeros((20, 40, 3)), gt, segments, known)
    assert (marked[10, 10] == MISSED).all()
    assert (marked[10, 30] == ADDED).all()
    assert not marked[2].any()  # not annotated
    half = np.ones((20, 40), int)
    half[8:] = 0
    cut = np.where(half, gt, 0)  # its end is not a border that is missed
    assert not mark_errors(np.zeros((20, 40, 3)), cut, gt, half).any()
    assert not mark_errors(np.zeros((20, 40, 3)), gt, np.roll(gt, 2, axis=1) * 0 + gt, known).any()
    shifted = np.ones((20, 40), int)
    shifted[:, 12:] = 2
    assert not mark_errors(np.zeros((20, 40, 3)), gt, shifted, known).any()


def test_what_is_not_annotated_is_blue() -> None:
    image = mark_unknown(np.zeros((1, 2, 3)), np.array([[1, 0]]))
    assert not image[0, 0].any()
    assert np.allclose(image[0, 1], 0.7 * UNKNOWN)


def test_the_section_with_most_labels() -> None:
    labels = np.zeros((5, 4, 4), int)
    labels[1, 0] = [1, 2, 3, 4]
    assert richest(labels, 0) == 1
    assert richest(labels * 0, 0) == 2  # of equal ones that in the middle


@pytest.mark.parametrize("width", [0.3, 7.0, 384.0, 9999.0])
def test_a_scale_bar_is_a_round_part_of_the_width(width: float) -> None:
    length = nice_length(width)
    assert 0.08 * width <= length <= 0.2 * width + 1e-9
    assert f"{length:e}"[0] in "125"
