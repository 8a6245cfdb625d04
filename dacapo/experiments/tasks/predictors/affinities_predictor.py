"""Affinities, and local shape descriptors beside them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from funlib.geometry import Coordinate, Roi
from torch import Tensor, nn

from dacapo.experiments.architectures.architecture import Architecture
from dacapo.experiments.arraytypes import ProbabilityArray
from dacapo.experiments.model import Model
from dacapo.experiments.tasks.predictors.predictor import Predictor
from dacapo.nn.initialize import initialize
from dacapo.ops.affinities import affinities, both_known, reach
from dacapo.ops.descriptors import (
    TRUNCATE,
    local_shape_descriptors,
    num_descriptors,
    window_share,
)
from dacapo.ops.weights import balance


class AffinitiesPredictor(Predictor):
    """Channels: one affinity an offset; then, with LSDs, 10 descriptors in 3D or 6 in 2D.

    Args:
        neighborhood: offsets in voxels.
        lsds: predict local shape descriptors too.
        lsd_sigma: of their window, in voxels of the finest axis.
        balance_most: a class is weighed up at most this many times.
    """

    def __init__(
        self,
        neighborhood: Sequence[Sequence[int]],
        lsds: bool = False,
        lsd_sigma: float = 8.0,
        balance_most: float = 20.0,
    ) -> None:
        self.neighborhood = [tuple(o) for o in neighborhood]
        self.dims: int = len(self.neighborhood[0])
        self.lsds = lsds
        self.lsd_sigma = lsd_sigma
        self.balance_most = balance_most

    @property
    def num_axes(self) -> int:
        return self.dims

    @property
    def num_channels(self) -> int:
        return len(self.neighborhood) + (num_descriptors(self.dims) if self.lsds else 0)

    @property
    def output_array_type(self) -> ProbabilityArray:
        names = ["affinity " + ",".join(map(str, o)) for o in self.neighborhood]
        lsds = [f"lsd {i}" for i in range(self.num_channels - len(names))]
        return ProbabilityArray(names + lsds)

    def create_model(self, architecture: Architecture) -> Model:
        convolution = nn.Conv2d if self.dims == 2 else nn.Conv3d
        head = convolution(architecture.num_out_channels, self.num_channels, 1)
        initialize(head)
        return Model(architecture, head, eval_activation=nn.Sigmoid())

    def create_target(self, gt: Tensor, voxel_size: Coordinate | None = None) -> Tensor:
        target = affinities(gt, self.neighborhood).float()
        if not self.lsds:
            return target
        voxel_size = voxel_size or Coordinate((1,) * self.dims)
        described = local_shape_descriptors(gt, self._sigma(voxel_size), voxel_size)
        return torch.cat([target, described], dim=1)

    def create_weight(
        self,
        gt: Tensor,
        target: Tensor,
        mask: Tensor,
        voxel_size: Coordinate | None = None,
        region: tuple[slice, ...] | None = None,
    ) -> Tensor:
        region = region or (slice(None),) * self.dims
        known = both_known(mask, self.neighborhood)[:, :, *region]
        affinity = target[:, : len(self.neighborhood)][:, :, *region]
        weight = balance(affinity, known, self.balance_most)
        if not self.lsds:
            return weight
        # The background has no shape. Where a part of the window is not annotated, an object may
        # go on there, so its shape is known the less the larger that part.
        voxel_size = voxel_size or Coordinate((1,) * self.dims)
        share = window_share(mask, self._sigma(voxel_size), voxel_size)
        inside = (share * ((gt != 0) & (mask != 0)))[:, None, *region]
        lsds = inside.expand(-1, num_descriptors(self.dims), *inside.shape[2:])
        return torch.cat([weight, lsds], dim=1)

    def gt_region_for_roi(self, roi: Roi, voxel_size: Coordinate) -> Roi:
        below, above = (Coordinate(r) * voxel_size for r in reach(self.neighborhood))
        if self.lsds:
            reached = [TRUNCATE * s for s in self._sigma(voxel_size)]
            window = Coordinate(
                math.ceil(r / v) * v for r, v in zip(reached, voxel_size, strict=True)
            )
            below, above = (Coordinate(map(max, side, window)) for side in (below, above))
        return roi.grow(below, above)

    def _sigma(self, voxel_size: Coordinate) -> list[float]:
        """The window's sigma in world units, equal along all axes."""
        return [self.lsd_sigma * min(voxel_size)] * self.dims
