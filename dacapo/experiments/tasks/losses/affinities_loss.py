"""The loss of affinities with local shape descriptors."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss

from dacapo.experiments.tasks.losses.loss import Loss, weighted_mean


class AffinitiesLoss(Loss):
    """Binary cross-entropy on the affinities' logits, plus squared error on the descriptors.

    Args:
        num_affinities: the first channels; the others are descriptors.
        lsd_weight: of the descriptors' part.
    """

    def __init__(self, num_affinities: int, lsd_weight: float = 1.0) -> None:
        self.num_affinities = num_affinities
        self.lsd_weight = lsd_weight

    def compute(self, prediction: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        n = self.num_affinities
        entropy = binary_cross_entropy_with_logits(
            prediction[:, :n], target[:, :n], reduction="none"
        )
        loss = weighted_mean(entropy, weight[:, :n])
        if prediction.shape[1] > n:
            squares = mse_loss(prediction[:, n:].sigmoid(), target[:, n:], reduction="none")
            loss = loss + self.lsd_weight * weighted_mean(squares, weight[:, n:])
        return loss
