"""Signed distances to the borders of objects or of classes, and where they are known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import edt
import numpy as np

Labels = np.ndarray[Any, np.dtype[Any]]
Mask = np.ndarray[Any, np.dtype[np.bool_]]
Floats = np.ndarray[Any, np.dtype[np.float32]]

_LESS = np.float32(1 - 1e-5)  # distances are float32


def signed_distance(
    labels: Labels, known: Mask, voxel_size: Sequence[float], limit: float
) -> tuple[Floats, Mask]:
    """The distance to the nearest voxel of another label: positive in objects, negative outside.

    Args:
        labels: (*spatial), integers; 0 is background. Two objects that touch have a border.
        known: (*spatial), where the labels are to be believed.
        voxel_size: an axis.
        limit: larger distances become this one.

    Returns:
        The distance between centres of voxels, and where it is known: a border nearer than
        anything that is not known, or none within `limit`. Beyond the crop nothing is known. Both
        are the same whatever the labels say where they are not known.
    """
    codes = labels.astype(np.uint32)
    codes[labels == 0] = codes.max(initial=0) + 1  # background has a border too
    codes[~known] = 0
    to_border = edt.edt(codes, anisotropy=tuple(voxel_size), black_border=False)
    to_unknown = edt.edt(known, anisotropy=tuple(voxel_size), black_border=True)
    reliable = known & ((to_border < to_unknown * _LESS) | (to_unknown >= limit * _LESS))
    clipped = np.minimum(to_border, np.float32(limit))
    return np.where(labels != 0, clipped, -clipped), reliable
