"""Several heads on one network."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

import torch
from funlib.geometry import Coordinate, Roi
from torch import Tensor, nn

from dacapo.experiments.arraytypes import ArrayType, EmbeddingArray, ProbabilityArray
from dacapo.experiments.tasks.predictors.predictor import Labels, MirroredChannel, Predictor


class CombinedPredictor(Predictor):
    """Named heads, each a predictor, whose channels are concatenated.

    Args:
        heads: name -> predictor. All read the same labels, which the first one encodes.
    """

    def __init__(self, heads: Mapping[str, Predictor]) -> None:
        self.heads = dict(heads)
        self._first = next(iter(self.heads.values()))

    @property
    def num_axes(self) -> int | None:
        known = [p.num_axes for p in self.heads.values() if p.num_axes is not None]
        return known[0] if known else None

    @property
    def classes(self) -> list[str]:
        return list(self._first.classes)

    @property
    def num_channels(self) -> int:
        return sum(p.num_channels for p in self.heads.values())

    @property
    def channel_names(self) -> list[str]:
        return [name for head in self.heads.values() for name in head.channel_names]

    @property
    def output_array_type(self) -> ArrayType:
        types = [p.output_array_type for p in self.heads.values()]
        names = [n for t in types if isinstance(t, ProbabilityArray) for n in t.channels]
        if len(names) == self.num_channels:
            return ProbabilityArray(names)
        return EmbeddingArray(self.num_channels)

    @property
    def activation(self) -> nn.Module:
        return _ByChannels([(p.num_channels, p.activation) for p in self.heads.values()])

    def encode(self, labels: Tensor) -> Tensor:
        return self._first.encode(labels)

    def create_target(self, gt: Tensor, voxel_size: Coordinate | None = None) -> Tensor:
        return torch.cat([p.create_target(gt, voxel_size) for p in self.heads.values()], dim=1)

    def create_target_and_weight(
        self,
        gt: Tensor,
        mask: Tensor,
        voxel_size: Coordinate | None = None,
        region: tuple[slice, ...] | None = None,
    ) -> tuple[Tensor, Tensor]:
        made = [
            head.create_target_and_weight(gt, mask, voxel_size, region)
            for head in self.heads.values()
        ]
        targets, weights = zip(*made, strict=True)
        return torch.cat(targets, dim=1), torch.cat(weights, dim=1)

    def create_weight(
        self,
        gt: Tensor,
        target: Tensor,
        mask: Tensor,
        voxel_size: Coordinate | None = None,
        region: tuple[slice, ...] | None = None,
    ) -> Tensor:
        targets = target.split([p.num_channels for p in self.heads.values()], dim=1)
        weights = [
            head.create_weight(gt, own, mask, voxel_size, region)
            for head, own in zip(self.heads.values(), targets, strict=True)
        ]
        return torch.cat(weights, dim=1)

    def known(self, gt: Tensor, target: Tensor, mask: Tensor, voxel_size: Coordinate) -> Tensor:
        targets = target.split([p.num_channels for p in self.heads.values()], dim=1)
        known = [
            head.known(gt, own, mask, voxel_size)
            for head, own in zip(self.heads.values(), targets, strict=True)
        ]
        return torch.cat(known, dim=1)

    def unknown_in(self, shape: Coordinate, voxel_size: Coordinate) -> str:
        found = (head.unknown_in(shape, voxel_size) for head in self.heads.values())
        return next((text for text in found if text), "")

    def mirrored(self, axes: Collection[int]) -> list[MirroredChannel | None]:
        found: list[MirroredChannel | None] = []
        for head in self.heads.values():
            first = len(found)
            for one in head.mirrored(axes):
                found.append(one and replace(one, channel=first + one.channel))
        return found

    def class_masks(self, labels: Labels) -> list[Labels]:
        return self._first.class_masks(labels)

    def gt_region_for_roi(self, roi: Roi, voxel_size: Coordinate) -> Roi:
        regions = [p.gt_region_for_roi(roi, voxel_size) for p in self.heads.values()]
        begin = Coordinate(map(min, *(r.begin for r in regions), roi.begin))
        end = Coordinate(map(max, *(r.end for r in regions), roi.end))
        return Roi(begin, end - begin)


class _ByChannels(nn.Module):
    """An activation for each group of channels."""

    def __init__(self, groups: list[tuple[int, nn.Module]]) -> None:
        super().__init__()
        self._sizes = [size for size, _ in groups]
        self.activations = nn.ModuleList(activation for _, activation in groups)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, *spatial), the same shape."""
        parts = zip(x.split(self._sizes, dim=1), self.activations, strict=True)
        return torch.cat([activation(part) for part, activation in parts], dim=1)
