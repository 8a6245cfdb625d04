"""Initial weights that do not depend on the other weights of a network."""

from __future__ import annotations

import math
import zlib
from itertools import pairwise

import torch
from torch import nn

_CONVOLUTIONS = (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def initialize(network: nn.Module) -> None:
    """Kaiming initialisation of convolutions (He et al. 2015), biases 0.

    With the gain of a ReLU where one follows, and torch's smaller default of 1 / sqrt(3) elsewhere,
    which learns faster at first. Each weight has its own generator, a function of torch's current
    seed and the weight's name, so two networks share weights of the same name and shape.
    """
    before_relu = {
        layer
        for sequence in network.modules()
        if isinstance(sequence, nn.Sequential)
        for layer, following in pairwise(sequence)
        if isinstance(following, nn.ReLU)
    }
    for name, module in network.named_modules():
        if isinstance(module, _CONVOLUTIONS):
            seed = (torch.initial_seed() + zlib.crc32(name.encode())) % 2**63
            generator = torch.Generator(module.weight.device).manual_seed(seed)
            if module in before_relu:
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
            else:
                nn.init.kaiming_uniform_(module.weight, a=math.sqrt(5), generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
