"""What training minimises."""

from dacapo.experiments.tasks.losses.affinities_loss import AffinitiesLoss
from dacapo.experiments.tasks.losses.loss import Loss

__all__ = ["AffinitiesLoss", "Loss"]
