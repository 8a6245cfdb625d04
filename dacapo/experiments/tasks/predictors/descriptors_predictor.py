"""Local shape descriptors."""

from __future__ import annotations

from collections.abc import Collection
from itertools import combinations

from funlib.geometry import Coordinate, Roi
from torch import Tensor, nn

from dacapo.experiments.arraytypes import ProbabilityArray
from dacapo.experiments.tasks.predictors.predictor import (
    MirroredChannel,
    Predictor,
    equal_axes,
    grown,
)
from dacapo.ops.descriptors import (
    TRUNCATE,
    local_shape_descriptors,
    num_descriptors,
    window_share,
)


class DescriptorsPredictor(Predictor):
    """10 channels in 3D, 6 in 2D: see `dacapo.ops.descriptors`.

    Args:
        dims: number of spatial axes.
        sigma: standard deviation of the window, in voxels of the finest axis.
    """

    def __init__(self, dims: int, sigma: float = 8.0) -> None:
        self.dims = dims
        self.sigma = sigma

    @property
    def num_axes(self) -> int:
        return self.dims

    @property
    def num_channels(self) -> int:
        return num_descriptors(self.dims)

    @property
    def output_array_type(self) -> ProbabilityArray:
        return ProbabilityArray([f"lsd {i}" for i in range(self.num_channels)])

    @property
    def activation(self) -> nn.Module:
        return nn.Sigmoid()

    def create_target(self, gt: Tensor, voxel_size: Coordinate | None = None) -> Tensor:
        voxel_size = equal_axes(gt, voxel_size)
        return local_shape_descriptors(gt, self._sigma(voxel_size), voxel_size)

    def known(self, gt: Tensor, target: Tensor, mask: Tensor, voxel_size: Coordinate) -> Tensor:
        # Background has no shape. Where part of the window is not annotated, an object may continue
        # there; the larger that part, the less is known about the object's shape.
        share = window_share(mask, self._sigma(voxel_size), voxel_size)
        inside = (share * ((gt != 0) & (mask != 0)))[:, None]
        return inside.expand(-1, self.num_channels, *gt.shape[1:])

    def mirrored(self, axes: Collection[int]) -> list[MirroredChannel | None]:
        """The offset to the centre of mass changes its sign along mirrored axes, and so does a
        correlation if one of its two axes is mirrored; 0.5 stands for 0."""
        turned = [axis in axes for axis in range(self.dims)]
        pairs = [turned[a] != turned[b] for a, b in combinations(range(self.dims), 2)]
        signs = [*turned, *[False] * self.dims, *pairs, False]
        return [MirroredChannel(channel, (), sign) for channel, sign in enumerate(signs)]

    def class_weights(self, foreground: Tensor, known: Tensor) -> Tensor:
        return known  # descriptors have no classes to balance

    def gt_region_for_roi(self, roi: Roi, voxel_size: Coordinate) -> Roi:
        return grown(roi, TRUNCATE * self._sigma(voxel_size)[0], voxel_size)

    def _sigma(self, voxel_size: Coordinate) -> list[float]:
        """The sigma of the window in world units, equal along all axes."""
        return [self.sigma * min(voxel_size)] * self.dims
