"""Voxel affinities."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from funlib.geometry import Coordinate, Roi
from torch import Tensor, nn

from dacapo.experiments.arraytypes import ProbabilityArray
from dacapo.experiments.tasks.predictors.predictor import MirroredChannel, Predictor
from dacapo.ops.affinities import affinities, balanced_affinities, both_known, reach


class AffinitiesPredictor(Predictor):
    """One channel per offset: whether a voxel and its neighbour at the offset are in one object.

    `Predictor.create_weight` balances the two classes of each offset.

    Args:
        neighborhood: offsets in voxels.
        max_class_weight: largest factor by which the rarer class of an offset is weighted up.
    """

    def __init__(
        self, neighborhood: Sequence[Sequence[int]], max_class_weight: float = 20.0
    ) -> None:
        self.neighborhood = [tuple(o) for o in neighborhood]
        self.max_class_weight = max_class_weight

    @property
    def num_axes(self) -> int:
        return len(self.neighborhood[0])

    @property
    def num_channels(self) -> int:
        return len(self.neighborhood)

    @property
    def output_array_type(self) -> ProbabilityArray:
        return ProbabilityArray(["affinity " + ",".join(map(str, o)) for o in self.neighborhood])

    @property
    def activation(self) -> nn.Module:
        return nn.Sigmoid()

    def create_target(self, gt: Tensor, voxel_size: Coordinate | None = None) -> Tensor:
        return affinities(gt, self.neighborhood).float()

    def create_target_and_weight(
        self,
        gt: Tensor,
        mask: Tensor,
        voxel_size: Coordinate | None = None,
        region: tuple[slice, ...] | None = None,
    ) -> tuple[Tensor, Tensor]:
        region = region or (slice(None),) * (gt.ndim - 1)
        return balanced_affinities(gt, mask, self.neighborhood, region, self.max_class_weight)

    def known(self, gt: Tensor, target: Tensor, mask: Tensor, voxel_size: Coordinate) -> Tensor:
        return both_known(mask, self.neighborhood)

    def mirrored(self, axes: Collection[int]) -> list[MirroredChannel | None]:
        """Mirrored, the affinity of an offset is that of the mirrored offset; and an offset and its
        opposite join the same two voxels."""
        found: list[MirroredChannel | None] = []
        for offset in self.neighborhood:
            there = tuple(-step if axis in axes else step for axis, step in enumerate(offset))
            back = tuple(-step for step in there)
            if there in self.neighborhood:
                found.append(MirroredChannel(self.neighborhood.index(there)))
            elif back in self.neighborhood:
                found.append(MirroredChannel(self.neighborhood.index(back), offset))
            else:
                found.append(None)
        return found

    def unknown_in(self, shape: Coordinate, voxel_size: Coordinate) -> str:
        for offset in self.neighborhood:
            if any(abs(step) >= size for step, size in zip(offset, shape, strict=True)):
                return f"task.neighborhood: {list(offset)} leads out of it from every voxel"
        return ""

    def gt_region_for_roi(self, roi: Roi, voxel_size: Coordinate) -> Roi:
        below, above = (Coordinate(r) * voxel_size for r in reach(self.neighborhood))
        return roi.grow(below, above)
