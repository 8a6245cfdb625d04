"""Statistics of a whole volume's intensities."""

from __future__ import annotations

import logging
from itertools import product

import numpy as np
from funlib.geometry import Coordinate, Roi

from dacapo.arrays import Array
from dacapo.errors import InputError
from dacapo.experiments.datasplits.datasets.dataset import Level, blocks

_log = logging.getLogger(__name__)

_ALL = 2**28  # larger volumes, in bytes, are sampled
_SAMPLED = 4  # sampled blocks along each axis
_EDGE = 96


def find_range(
    raw: Array, how: str = "range", percentiles: tuple[float, float] = (0.5, 99.5)
) -> tuple[Level, Level]:
    """The values of a volume that are mapped to 0 and 1, per channel if there are several.

    For volumes larger than 256 MiB they are estimated from 64 blocks at fixed positions.

    Args:
        how: range (0 and 255 for 8 bits, else minimum and maximum), percentile, or zscore (mean and
            mean + standard deviation).

    Raises:
        InputError: a value is not finite, or all values are equal.
    """
    num = int(np.prod(raw.channel_shape))
    if how == "range" and raw.dtype == np.uint8:
        return 0.0, 255.0
    regions = _regions(raw)
    values = np.concatenate(
        [_finite(raw, roi).reshape(num, -1).astype(np.float32) for roi in regions], axis=1
    )
    if raw.nbytes > _ALL:
        _log.info("%s: intensity range estimated from %d blocks", raw.name, len(regions))
    if how == "range":
        low, high = values.min(axis=1), values.max(axis=1)
    elif how == "percentile":
        low, high = np.percentile(values, percentiles, axis=1)
    else:
        low = values.mean(axis=1, dtype=np.float64)
        high = low + values.std(axis=1, dtype=np.float64)
    if (low >= high).any():
        channel = int(np.flatnonzero(low >= high)[0])
        raise InputError(
            f"{raw.name}: {'' if num == 1 else f'channel {channel}: '}all raw values are "
            f"{low[channel]:g}, so there is no range to normalize by"
        )
    if num == 1:
        return float(low[0]), float(high[0])
    return low.tolist(), high.tolist()


def check_finite(raw: Array) -> None:
    """Refuse float intensities that are not finite, naming the first place.

    Of a volume larger than 256 MiB, 64 blocks are checked; a value that they miss stops the run
    with a non-finite loss.
    """
    if raw.dtype.kind == "f":
        for roi in _regions(raw):
            _finite(raw, roi)


def _regions(raw: Array) -> list[Roi]:
    return _spread(raw) if raw.nbytes > _ALL else list(blocks(raw))


def _finite(raw: Array, roi: Roi) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    values = raw.read(roi)
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        first = np.argwhere(~np.isfinite(values))[0][-raw.dims :]
        begin = (roi.offset - raw.offset) / raw.voxel_size
        voxel = [int(i) + int(b) for i, b in zip(first, begin, strict=True)]
        raise InputError(f"{raw.name}: raw values are NaN or infinite, the first at voxel {voxel}")
    return values


def _spread(raw: Array) -> list[Roi]:
    """Blocks at the centres of a coarse grid."""
    shape = Coordinate(min(_EDGE, n) for n in raw.shape)
    starts = [
        sorted({int((i + 0.5) * n / _SAMPLED - s / 2) for i in range(_SAMPLED)} if n > s else {0})
        for n, s in zip(raw.shape, shape, strict=True)
    ]
    return [
        Roi(raw.offset + Coordinate(start) * raw.voxel_size, shape * raw.voxel_size)
        for start in product(*starts)
    ]
