from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from dacapo.ops.distances import distance_to_unknown, signed_distance


def known_distance(
    labels: np.ndarray, known: np.ndarray, size: tuple[float, ...], limit: float
) -> tuple[np.ndarray, np.ndarray]:
    """The distance, and where it is known."""
    distance, unknown = signed_distance(labels, size, limit), distance_to_unknown(known, size)
    less = 1 - 1e-5
    return distance, known & ((np.abs(distance) < unknown * less) | (unknown >= limit * less))


def slow(
    labels: np.ndarray, known: np.ndarray, size: tuple[float, ...], limit: float
) -> tuple[np.ndarray, np.ndarray]:
    """Every voxel by itself: the nearest known voxel of another label, the nearest unknown one."""
    pad = [(1, 1)] * labels.ndim
    around = np.pad(known, pad)  # beyond the crop nothing is known
    places = np.argwhere(np.ones(labels.shape, bool))
    unknown = (np.argwhere(~around) - 1) * np.array(size)
    known_places = np.argwhere(known)
    distance, reliable = np.zeros(labels.shape), np.zeros(labels.shape, bool)
    for place in map(tuple, places):
        here = np.array(place) * np.array(size)
        other = known_places[labels[known] != labels[place]] * np.array(size)
        border = min(np.linalg.norm(other - here, axis=1), default=np.inf)
        edge = np.linalg.norm(unknown - here, axis=1).min()
        distance[place] = min(border, limit) * (1 if labels[place] else -1)
        reliable[place] = known[place] and (border < 0.9999 * edge or edge >= 0.9999 * limit)
    return distance, reliable


@pytest.mark.parametrize("size", [(1.0, 1.0, 1.0), (40.0, 4.6, 4.6)])
@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_the_slow_twin(seed: int, size: tuple[float, ...]) -> None:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 3, (3, 4, 4)).astype(np.int32)
    labels = coarse.repeat(3, 0).repeat(3, 1).repeat(3, 2)[:7, :10, :11]
    known = rng.random(labels.shape) < 0.97
    distance, reliable = known_distance(labels, known, size, 4 * size[1])
    expected, where = slow(labels, known, size, 4 * size[1])
    assert np.array_equal(reliable, where)
    assert reliable.any()
    assert np.allclose(distance[reliable], expected[reliable], rtol=1e-5)


def test_of_a_binary_volume_it_is_the_usual_signed_distance() -> None:
    inside = np.zeros((20, 20), np.int32)
    inside[5:14, 6:15] = 1
    distance, _ = known_distance(inside, np.ones((20, 20), bool), (2.0, 1.0), 1e9)
    usual = distance_transform_edt(inside, (2.0, 1.0)) - distance_transform_edt(
        1 - inside, (2.0, 1.0)
    )
    assert np.allclose(distance, usual)


def test_touching_objects_have_a_border() -> None:
    labels = np.array([[1] * 4 + [2] * 4] * 3)
    distance, _ = known_distance(labels, np.ones_like(labels, bool), (1, 1), 10)
    assert distance[1].tolist() == [4, 3, 2, 1, 1, 2, 3, 4]


def test_what_is_not_known_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, (4, 4)).repeat(4, 0).repeat(4, 1)
    known = rng.random(labels.shape) < 0.9
    scrambled = np.where(known, labels, rng.integers(0, 9, labels.shape))
    one, where = known_distance(labels, known, (1, 1), 6)
    other, also = known_distance(scrambled, known, (1, 1), 6)
    assert np.array_equal(where, also)
    assert np.array_equal(one[where], other[where])
    assert not where[~known].any()


def test_distance_to_unknown_without_holes_is_that_with_none_near() -> None:
    known = np.ones((9, 11), bool)
    known[0, 0] = False
    with_hole, without = (distance_to_unknown(k, (2.5, 1.0)) for k in (known, known | True))
    assert np.allclose(with_hole[4:, 5:], without[4:, 5:])
    assert without[0].tolist() == [1, 2, *[2.5] * 7, 2, 1]


def test_without_a_border_it_is_known_only_far_from_the_edge() -> None:
    distance, reliable = known_distance(np.ones((21, 21), int), np.ones((21, 21), bool), (1, 1), 5)
    assert (distance == 5).all()
    assert reliable[4:17, 4:17].all()
    assert reliable.sum() == 13 * 13
