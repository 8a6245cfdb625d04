from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import generate_binary_structure, grey_dilation, grey_erosion, label

from dacapo.ops.skeletons import skeleton_tube, soft_skeleton


def slow_soft_skeleton(mask: np.ndarray, iterations: int) -> np.ndarray:
    """Morphology of one image, as Shit et al. 2021 write it down."""
    faces = generate_binary_structure(mask.ndim, 1)
    cube = generate_binary_structure(mask.ndim, mask.ndim)

    def eroded(image: np.ndarray) -> np.ndarray:
        return grey_erosion(image, footprint=faces, mode="nearest")

    def opened(image: np.ndarray) -> np.ndarray:
        return grey_dilation(eroded(image), footprint=cube, mode="nearest")

    skeleton = np.maximum(mask - opened(mask), 0)
    for _ in range(iterations):
        mask = eroded(mask)
        ridge = np.maximum(mask - opened(mask), 0)
        skeleton = skeleton + np.maximum(ridge - skeleton * ridge, 0)
    return skeleton


@pytest.mark.parametrize("shape", [(11, 14), (7, 9, 8)])
@pytest.mark.parametrize("iterations", [1, 4])
def test_soft_skeletons_agree_with_morphology(shape: tuple[int, ...], iterations: int) -> None:
    masks = np.random.default_rng(0).random((2, 3, *shape))
    found = soft_skeleton(torch.from_numpy(masks), iterations).numpy()
    for sample, own in zip(masks, found, strict=True):
        for channel, skeleton in zip(sample, own, strict=True):
            np.testing.assert_allclose(skeleton, slow_soft_skeleton(channel, iterations))


def test_the_soft_skeleton_of_a_bar_is_its_middle() -> None:
    bar = torch.zeros(1, 1, 7, 20)
    bar[:, :, 2:5] = 1
    found = soft_skeleton(bar, 3)[0, 0]
    assert (found[3] == 1).all()  # to the border of the array
    assert found.sum() == 20


@pytest.mark.parametrize("shape", [(15, 40), (15, 15, 40)])
def test_a_tube_lies_in_the_mask_and_is_in_one_piece(shape: tuple[int, ...]) -> None:
    mask = np.zeros(shape, bool)
    mask[..., 4:11, 2:38] = True
    if len(shape) == 3:
        mask[:4] = mask[11:] = False
    thin, tube = skeleton_tube(mask, 0), skeleton_tube(mask, 2)
    everywhere = generate_binary_structure(mask.ndim, mask.ndim)
    assert label(thin, everywhere)[1] == 1
    assert (thin <= tube).all()
    assert (tube <= mask).all()
    assert thin.sum() < tube.sum() < mask.sum()
    assert np.any(thin, axis=tuple(range(mask.ndim - 1))).sum() > 28  # nearly as long as the mask


def test_no_mask_has_no_skeleton() -> None:
    assert not skeleton_tube(np.zeros((6, 6, 6), bool), 2).any()
