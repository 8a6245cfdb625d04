"""Surface distances against MONAI, SimpleITK and a brute force, with unequal axes."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from monai.metrics.hausdorff_distance import compute_hausdorff_distance
from monai.metrics.surface_dice import compute_surface_dice
from monai.metrics.surface_distance import compute_average_surface_distance
from scipy.ndimage import gaussian_filter
from scipy.spatial.distance import cdist

from dacapo.ops.surfaces import Shape, SurfaceDistances, beyond, mean_distance

SIZES = [(1.0, 1.0, 1.0), (40.0, 4.6, 4.6), (283.72, 126.79, 126.79)]


def blobs(seed: int, shape: tuple[int, ...] = (9, 14, 13)) -> np.ndarray:
    """A random binary volume that does not touch its border."""
    smooth = gaussian_filter(np.random.default_rng(seed).normal(size=shape), 1.3)
    inner = tuple(slice(1, -1) for _ in shape)
    out = np.zeros(shape, bool)
    out[inner] = (smooth > 0.1)[inner]
    return out


def pair(seed: int, size: tuple[float, ...]) -> tuple[Shape, Shape]:
    everywhere = np.ones((9, 14, 13), bool)
    return Shape(blobs(seed), everywhere, size), Shape(blobs(seed + 100), everywhere, size)


def tensor(shape: Shape) -> torch.Tensor:
    return torch.from_numpy(shape.inside)[None, None].float()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("seed", range(4))
def test_agrees_with_monai(seed: int, size: tuple[float, ...]) -> None:
    ground_truth, prediction = pair(seed, size)
    ours = SurfaceDistances(ground_truth, prediction)
    both = {"y_pred": tensor(prediction), "y": tensor(ground_truth), "include_background": True}
    spacing = {"spacing": list(size)}
    hausdorff = compute_hausdorff_distance(**both, **spacing)
    assert ours.hausdorff == pytest.approx(hausdorff.item(), rel=1e-6)
    percentile = compute_hausdorff_distance(**both, **spacing, percentile=95)
    assert ours.hausdorff_percentile(95) == pytest.approx(percentile.item(), rel=1e-6)
    mean = compute_average_surface_distance(**both, **spacing, symmetric=True)
    assert ours.mean == pytest.approx(mean.item(), rel=1e-6)
    for tolerance in (0.0, size[0], 2.5 * size[1]):
        dice = compute_surface_dice(**both, **spacing, class_thresholds=[tolerance])
        assert ours.dice(tolerance) == pytest.approx(dice.item(), abs=1e-6)


@pytest.mark.parametrize("size", SIZES)
def test_agrees_with_simpleitk(size: tuple[float, ...]) -> None:
    ground_truth, prediction = pair(7, size)
    images = []
    for shape in (ground_truth, prediction):
        image = sitk.GetImageFromArray(shape.inside.astype(np.uint8))
        image.SetSpacing(size[::-1])  # x, y, z there
        images.append(image)
    filter_ = sitk.HausdorffDistanceImageFilter()
    filter_.Execute(*images)
    ours = max(
        prediction.distance[ground_truth.inside].max(),
        ground_truth.distance[prediction.inside].max(),
    )
    assert ours == pytest.approx(filter_.GetHausdorffDistance(), rel=1e-6)


@pytest.mark.parametrize("size", SIZES)
def test_agrees_with_brute_force(size: tuple[float, ...]) -> None:
    ground_truth, prediction = pair(3, size)
    points = {
        name: np.argwhere(mask) * np.array(size)
        for name, mask in (
            ("ground truth", ground_truth.inside), ("prediction", prediction.inside),
            ("ground truth surface", ground_truth.surface),
            ("prediction surface", prediction.surface),
        )
    }  # fmt: skip
    there = cdist(points["ground truth"], points["prediction"]).min(axis=1)
    back = cdist(points["prediction"], points["ground truth"]).min(axis=1)
    assert mean_distance(ground_truth, prediction) == pytest.approx(there.mean(), rel=1e-6)
    clipped = np.minimum(back, size[0]).mean()
    assert mean_distance(prediction, ground_truth, size[0]) == pytest.approx(clipped, rel=1e-6)
    assert beyond(prediction, ground_truth, size[0]) == (back > size[0] * (1 + 1e-6)).sum()
    surfaces = cdist(points["ground truth surface"], points["prediction surface"])
    ours = SurfaceDistances(ground_truth, prediction)
    assert sorted(ours.to_prediction) == pytest.approx(sorted(surfaces.min(axis=1)), rel=1e-6)
    assert sorted(ours.to_ground_truth) == pytest.approx(sorted(surfaces.min(axis=0)), rel=1e-6)


def test_axes_are_not_mixed_up() -> None:
    one, other = np.zeros((2, 9, 9, 9), bool)
    one[2:4, 4, 4] = True
    other[2:7, 4, 4] = True  # three voxels further along z
    everywhere = np.ones((9, 9, 9), bool)
    shapes = [Shape(a, everywhere, (40.0, 4.0, 4.0)) for a in (one, other)]
    assert SurfaceDistances(*shapes).hausdorff == 120


def test_where_volume_or_annotation_ends_there_is_no_surface() -> None:
    inside = np.zeros((8, 8), bool)
    inside[:, :4] = True
    everywhere = np.ones((8, 8), bool)
    assert Shape(inside, everywhere, (1, 1)).surface.sum() == 8
    counted = everywhere.copy()
    counted[4:] = False
    shape = Shape(inside, counted, (1, 1))
    assert shape.surface.sum() == 4
    assert shape.surface[:4, 3].all()


def test_what_is_not_annotated_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    counted = rng.random((9, 14, 13)) < 0.7
    prediction = Shape(blobs(1), counted, (1, 2, 3))
    results = []
    for noise in (np.zeros((9, 14, 13), bool), rng.random((9, 14, 13)) < 0.5):
        ground_truth = Shape(np.where(counted, blobs(0), noise), counted, (1, 2, 3))
        distances = SurfaceDistances(ground_truth, prediction)
        results.append(
            (distances.hausdorff, distances.mean, mean_distance(prediction, ground_truth))
        )
    assert results[0] == results[1]


def test_degenerate() -> None:
    everywhere = np.ones((6, 6), bool)
    nothing, something = np.zeros((6, 6), bool), np.zeros((6, 6), bool)
    something[2:4, 2:4] = True
    empty, some, full = (Shape(a, everywhere, (1, 1)) for a in (nothing, something, everywhere))
    for one, other in ((empty, some), (some, empty), (empty, empty), (full, some)):
        distances = SurfaceDistances(one, other)
        assert np.isnan([distances.hausdorff, distances.mean]).all()
    assert SurfaceDistances(empty, some).dice(1) == 0
    assert np.isnan(SurfaceDistances(empty, empty).dice(1))
    assert np.isnan(mean_distance(empty, some))
    assert np.isnan(mean_distance(some, empty))
    assert mean_distance(some, empty, clip=10) == 10
    assert beyond(some, empty, 100) == 4
    assert SurfaceDistances(some, some).hausdorff == 0
