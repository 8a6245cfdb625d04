"""A predictor whose model begins with weights from a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from funlib.geometry import Coordinate, Roi
from torch import Tensor, nn

from dacapo.errors import InputError
from dacapo.experiments.architectures.architecture import Architecture
from dacapo.experiments.arraytypes import ArrayType
from dacapo.experiments.model import Model
from dacapo.experiments.tasks.predictors.predictor import Labels, Predictor
from dacapo.nn.weights import read_weights


class PretrainedPredictor(Predictor):
    """Another predictor; the models that it creates have the weights of a file.

    Args:
        predictor: decides everything else.
        weights: a file of named tensors.
    """

    def __init__(self, predictor: Predictor, weights: Path) -> None:
        self.predictor = predictor
        self.weights = weights

    @property
    def num_axes(self) -> int | None:
        return self.predictor.num_axes

    @property
    def classes(self) -> Sequence[str]:
        return self.predictor.classes

    @property
    def num_channels(self) -> int:
        return self.predictor.num_channels

    @property
    def channel_names(self) -> list[str]:
        return self.predictor.channel_names

    @property
    def output_array_type(self) -> ArrayType:
        return self.predictor.output_array_type

    @property
    def activation(self) -> nn.Module:
        return self.predictor.activation

    def create_model(self, architecture: Architecture) -> Model:
        model = self.predictor.create_model(architecture)
        _load(
            model,
            read_weights(self.weights, "task.weights").tensors,
            f"task.weights={self.weights}",
        )
        return model

    def encode(self, labels: Labels) -> np.ndarray[tuple[int, ...], np.dtype[np.int32]]:
        return self.predictor.encode(labels)

    def create_target(self, gt: Tensor, voxel_size: Coordinate | None = None) -> Tensor:
        return self.predictor.create_target(gt, voxel_size)

    def create_weight(
        self,
        gt: Tensor,
        target: Tensor,
        mask: Tensor,
        voxel_size: Coordinate | None = None,
        region: tuple[slice, ...] | None = None,
    ) -> Tensor:
        return self.predictor.create_weight(gt, target, mask, voxel_size, region)

    def unknown_in(self, shape: Coordinate, voxel_size: Coordinate) -> str:
        return self.predictor.unknown_in(shape, voxel_size)

    def class_masks(self, labels: Labels) -> list[Labels]:
        return self.predictor.class_masks(labels)

    def gt_region_for_roi(self, roi: Roi, voxel_size: Coordinate) -> Roi:
        return self.predictor.gt_region_for_roi(roi, voxel_size)


def _load(model: Model, weights: Mapping[str, Tensor], source: str) -> None:
    """Take over all weights of a model; a name or a shape that differs is an error."""
    ours = model.state_dict()
    differ = [
        name
        for name, value in ours.items()
        if name not in weights or weights[name].shape != value.shape
    ]
    if differ:
        name = differ[0]
        theirs = list(weights[name].shape) if name in weights else "nothing"
        raise InputError(
            f"{source}: {len(differ)} of the model's {len(ours)} weights do not fit, the first is "
            f"{name}: {list(ours[name].shape)} here, {theirs} there; choose the architecture and "
            f"the sub_task that it was trained with"
        )
    unused = sorted(set(weights) - set(ours))
    if unused:
        raise InputError(f"{source}: holds {unused[0]}, which this model does not have")
    for name in ours:
        if not torch.isfinite(weights[name]).all():
            raise InputError(f"{source}: {name} is not finite")
    model.load_state_dict({name: weights[name] for name in ours})
