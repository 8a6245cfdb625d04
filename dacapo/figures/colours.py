"""Images (Y, X, 3) of intensities and labels, in 0 to 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.ndimage import binary_dilation

Image = np.ndarray[Any, np.dtype[Any]]

UNKNOWN = np.array((0.15, 0.2, 0.45))
"""The colour of what is not annotated."""
MISSED, ADDED = np.array((1.0, 0.15, 0.1)), np.array((1.0, 0.9, 0.1))
"""The colours of borders that a segmentation lacks, or has too many of."""
_PERCENTILES = (0.5, 99.5)
_TOLERANCE = 2  # pixels by which a border may be displaced
_PALETTE = np.array(
    [
        (0.90, 0.10, 0.29), (0.24, 0.71, 0.29), (1.00, 0.88, 0.10), (0.26, 0.39, 0.85),
        (0.96, 0.51, 0.19), (0.57, 0.12, 0.71), (0.27, 0.94, 0.94), (0.94, 0.20, 0.90),
        (0.82, 0.96, 0.24), (0.98, 0.75, 0.83), (0.00, 0.50, 0.50), (0.86, 0.75, 1.00),
        (0.60, 0.39, 0.14), (0.67, 1.00, 0.76), (0.50, 0.50, 0.00), (1.00, 0.85, 0.69),
    ]
)  # fmt: skip


def contrast(values: Image) -> tuple[float, float]:
    """The values to show as black and white: percentiles, so that a few voxels do not decide."""
    low, high = (float(v) for v in np.percentile(values, _PERCENTILES))
    return (low, high) if high > low else (low, low + 1)


def grey_image(values: Image, limits: tuple[float, float] | None = None) -> Image:
    """Values (Y, X) as an image; `limits` are black and white, by default those of `contrast`."""
    low, high = contrast(values) if limits is None else limits
    scaled = np.clip((values - low) / (high - low), 0, 1)
    return np.repeat(scaled[..., None], 3, axis=-1)


def overlay(grey: Image, codes: Image, palette: Image) -> Image:
    """Colours over grey, with dark borders between labels; label 0 stays grey.

    Args:
        codes: numbers of labels, 0 for background.
        palette: number -> colour.
    """
    image = 0.45 * grey + 0.55 * palette[codes]
    image[_borders(codes)] *= 0.35
    return np.where((codes == 0)[..., None], grey, image)


def mark_unknown(image: Image, known: Image) -> Image:
    """An image with what is not annotated in blue."""
    return np.where((known == 0)[..., None], 0.3 * image + 0.7 * UNKNOWN, image)


def mark_errors(image: Image, gt: Image, segments: Image, known: Image) -> Image:
    """An image with borders of objects that no segment has (red), and the reverse (yellow).

    A border may be displaced by two pixels. Red lines show merged or missed objects, yellow ones
    split or false ones.
    """
    seen = ~binary_dilation(known == 0)  # a border with what is not annotated is none
    truth, found = _borders(gt) & seen, _borders(segments) & seen
    image = image.copy()
    for wrong, others, colour in ((truth, found, MISSED), (found, truth, ADDED)):
        near = binary_dilation(others, iterations=_TOLERANCE) if others.any() else others
        image[wrong & ~near] = colour
    return image


def matching_numbers(gt: Image, segmentation: Image) -> tuple[Image, Image]:
    """Ground truth and segmentation as numbers, 0 for background.

    The segment that best matches an object has its number, so a correct segmentation looks like the
    ground truth, and splits and false objects stand out.
    """
    ids, objects = np.unique(gt, return_inverse=True)
    found, segments = np.unique(segmentation, return_inverse=True)
    objects, segments = objects.reshape(gt.shape), segments.reshape(gt.shape)
    counted = (gt != 0) & (segmentation != 0)
    pairs, sizes = np.unique(
        objects[counted].astype(np.int64) * len(found) + segments[counted], return_counts=True
    )
    first = int(ids[0] != 0)  # numbers begin at 1 unless the first id is background
    number = len(ids) + first + np.arange(len(found))
    number[found == 0] = 0
    taken: set[int] = set()
    for pair in pairs[np.argsort(-sizes)]:
        object_, segment = divmod(int(pair), len(found))
        if object_ not in taken and number[segment] >= len(ids) + first:
            taken.add(object_)
            number[segment] = object_ + first
    return objects + first, number[segments]


def distinct_colours(images: Sequence[Image]) -> Image:
    """A palette in which neighbours in any of the images differ, as far as colours suffice.

    Args:
        images: numbers of labels (Y, X).
    """
    neighbours: dict[int, set[int]] = {}
    for image in images:
        for distance in (1, 2):  # labels may be separated by a line of background
            for one, other in (
                (image[distance:], image[:-distance]),
                (image[:, distance:], image[:, :-distance]),
            ):
                differ = (one != other) & (one != 0) & (other != 0)
                pairs = np.unique(np.stack([one[differ], other[differ]], axis=1), axis=0)
                for a, b in pairs.tolist():
                    neighbours.setdefault(a, set()).add(b)
                    neighbours.setdefault(b, set()).add(a)
    highest = max(int(image.max()) for image in images)
    colour = np.zeros(highest + 1, int)
    chosen: dict[int, int] = {}
    for number in range(1, highest + 1):
        near = {chosen[n] for n in neighbours.get(number, ()) if n in chosen}
        order = [(number * 7 + k) % len(_PALETTE) for k in range(len(_PALETTE))]
        chosen[number] = next((c for c in order if c not in near), order[0])
        colour[number] = chosen[number]
    return _PALETTE[colour]


def _borders(labels: Image) -> Image:
    border = np.zeros(labels.shape, bool)
    border[1:] |= labels[1:] != labels[:-1]
    border[:, 1:] |= labels[:, 1:] != labels[:, :-1]
    return border
