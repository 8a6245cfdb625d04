"""The model: an architecture with a prediction head."""

from __future__ import annotations

import torch
from funlib.geometry import Coordinate
from torch import Tensor

from dacapo.experiments.architectures.architecture import Architecture
from dacapo.nn.probe import output_shape


class Model(torch.nn.Module):
    """An architecture, a head, and an activation that is applied in eval mode only.

    Args:
        architecture: maps raw to feature maps.
        prediction_head: maps feature maps to the channels that the task predicts.
        eval_activation: maps logits, which the loss needs, to the values that post-processing
            needs.

    Attributes:
        num_in_channels, num_out_channels: channels of input and output.
        input_shape, output_shape: spatial, in training.
        eval_input_shape: spatial, the largest block of a prediction.
    """

    def __init__(
        self,
        architecture: Architecture,
        prediction_head: torch.nn.Module,
        eval_activation: torch.nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.architecture = architecture
        self.prediction_head = prediction_head
        self.eval_activation = eval_activation
        self.num_in_channels = architecture.num_in_channels
        self.input_shape = architecture.input_shape
        self.eval_input_shape = architecture.input_shape + architecture.eval_shape_increase
        self.num_out_channels, self.output_shape = self.compute_output_shape(self.input_shape)

    def forward(self, x: Tensor) -> Tensor:
        """(B, num_in_channels, *spatial) -> (B, num_out_channels, *spatial)."""
        y: Tensor = self.prediction_head(self.architecture(x))
        if self.eval_activation is not None and not self.training:
            # In float32: in low precision, a sigmoid turns strong predictions into ties.
            y = self.eval_activation(y.to(torch.promote_types(y.dtype, torch.float32)))
        return y

    def forward_with_aux(self, x: Tensor) -> list[Tensor]:
        """The outputs to train: the output, and under deep supervision those of coarser levels.

        All pass through the same head.
        """
        return [self.prediction_head(maps) for maps in self.architecture.forward_with_aux(x)]

    def compute_output_shape(self, input_shape: Coordinate) -> tuple[int, Coordinate]:
        """Channels and spatial shape of the output for an input of this spatial shape.

        Nothing is computed or changed: the network (or only its head, if the architecture knows its
        shape) runs on the meta device.
        """
        known = self.architecture.compute_output_shape(input_shape)
        if known is None:
            out = output_shape(self, (1, self.num_in_channels, *input_shape))
        else:
            fmaps = (1, self.architecture.num_out_channels, *known)
            out = output_shape(self.prediction_head, fmaps)
        return out[1], Coordinate(out[2:])

    def scale(self, voxel_size: Coordinate) -> Coordinate:
        """Voxel size of the output, given that of the input."""
        return self.architecture.scale(voxel_size)
