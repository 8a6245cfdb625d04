"""The shape of a U-Net for given voxels and objects: pooling, kernels and crops."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import log, prod, sqrt

from dacapo.nn.geometry import UNetGeometry

MAX_POOLINGS = 5
NEARLY_EQUAL = sqrt(2)
"""Voxels are pooled along an axis, and kernels reach across it, where its voxels are shorter than
this times the shortest: what is left out then is as far away as what is let in."""
_LEAST_OUTPUT = 16
_THIN = 32
"""An axis of fewer voxels than this is not pooled."""


def geometry_for(
    voxel_size: Sequence[float], shape: Sequence[int], context: float, num_voxels: int
) -> UNetGeometry:
    """The U-Net with valid padding that sees about as far as wanted.

    Args:
        voxel_size: of raw.
        shape: of the smallest volume, in voxels.
        context: width that a voxel of the output should see along the finest axis, in the unit of
            voxel_size.
        num_voxels: largest number of voxels of a crop, whose output should not be too small.
    """
    least = [min(_LEAST_OUTPUT, max(1, n // 3)) for n in shape]
    found: list[tuple[float, UNetGeometry]] = []
    for num in range(1, MAX_POOLINGS + 1):
        geometry = _thinned(_unet(voxel_size, shape, num), shape)
        smallest = geometry.smallest_input(least)
        fits = all(s <= n for s, n in zip(smallest, shape, strict=True))
        if not fits or prod(smallest) > num_voxels:
            break
        found.append((abs(log(context_of(geometry, voxel_size) / context)), geometry))
    if not found:
        return _thinned(_unet(voxel_size, shape, 0), shape)
    return min(found, key=lambda pair: pair[0])[1]


def context_of(geometry: UNetGeometry, voxel_size: Sequence[float]) -> float:
    """The width that a voxel of the output sees along the finest axis."""
    axis = min(range(len(voxel_size)), key=lambda a: (voxel_size[a], -a))
    return _reach(geometry, axis) * voxel_size[axis]


def input_shape_for(
    geometry: UNetGeometry,
    voxel_size: Sequence[float],
    shape: Sequence[int],
    labelled: Sequence[int],
    num_voxels: int,
) -> list[int]:
    """The crop of at most `num_voxels` voxels whose output is as nearly a cube as possible.

    Args:
        shape: of the smallest volume of raw, which a crop must fit in.
        labelled: voxels of the part that is trained on.
    """
    dims = len(shape)
    groups = [[a for a in range(dims) if voxel_size[a] == size] for size in sorted({*voxel_size})]
    out = [1] * dims
    growing = list(groups)
    while growing:
        group = min(growing, key=lambda g: out[g[0]] * voxel_size[g[0]])
        tried = list(out)
        for axis in group:
            tried[axis] = geometry.output_shape(geometry.smallest_input(tried))[axis] + 1
        inputs = geometry.smallest_input(tried)
        outputs = geometry.output_shape(inputs)
        fits = prod(inputs) <= num_voxels and all(
            inputs[a] <= shape[a] and outputs[a] <= max(1, labelled[a]) for a in group
        )
        if fits:
            for axis in group:
                out[axis] = outputs[axis]
        else:
            growing.remove(group)
    return list(geometry.smallest_input(out))


def increase_for(
    geometry: UNetGeometry, input_shape: Sequence[int], labelled: Sequence[int], factor: float
) -> list[int]:
    """What predictions may add to a crop: up to `factor` times as long, no longer than needed."""
    outputs = geometry.output_shape(input_shape)
    increase = []
    for length, out, num, period in zip(
        input_shape, outputs, labelled, geometry.period, strict=True
    ):
        wanted = min(length * (factor - 1), max(0, num - out) + period - 1)
        increase.append(int(wanted) // period * period)
    return increase


def _unet(voxel_size: Sequence[float], shape: Sequence[int], num: int) -> UNetGeometry:
    size, factors, kernels = list(voxel_size), [], []
    thick = [n >= _THIN for n in shape]
    for level in range(num + 1):
        # Axes that are not pooled do not hold the others back.
        finest = min([s for s, t in zip(size, thick, strict=True) if t] or size)
        near = [s < NEARLY_EQUAL * finest for s in size]
        kernels.append([[3 if n else 1 for n in near]] * 2)
        if level == num:
            break
        factor = [2 if n and t else 1 for n, t in zip(near, thick, strict=True)]
        factors.append(factor)
        size = [s * f for s, f in zip(size, factor, strict=True)]
    return UNetGeometry(
        downsample=factors, kernels_down=kernels, kernels_up=kernels[:-1], same_padding=False
    )


def _thinned(geometry: UNetGeometry, shape: Sequence[int]) -> UNetGeometry:
    """The network without kernels across axes of so few voxels that nothing would be left.

    Those that go first are at the fine levels on the way up, then second ones on the way down.
    """
    down = [[list(k) for k in level] for level in geometry.kernels_down]
    up = [[list(k) for k in level] for level in geometry.kernels_up]
    order = [level[i] for level, i in product(up, (1, 0))]
    order += [level[i] for i, level in product((1, 0), down)]
    thinned = UNetGeometry(
        downsample=geometry.downsample, kernels_down=down, kernels_up=up, same_padding=False
    )
    for axis, num in enumerate(shape):
        for kernel in order:
            if num >= _THIN or _reach(thinned, axis) - 1 <= num // 2:
                break
            kernel[axis] = 1
    return thinned


def _reach(geometry: UNetGeometry, axis: int) -> int:
    """Voxels that one voxel of the output sees along an axis."""
    smallest = geometry.smallest_input([1] * len(geometry.period))
    return smallest[axis] - geometry.output_shape(smallest)[axis] + 1
