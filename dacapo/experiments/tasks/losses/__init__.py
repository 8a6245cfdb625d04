"""What training minimises."""

from dacapo.experiments.tasks.losses.loss import CombinedLoss, Loss
from dacapo.experiments.tasks.losses.probability_loss import ProbabilityLoss
from dacapo.experiments.tasks.losses.regression_loss import RegressionLoss

__all__ = ["CombinedLoss", "Loss", "ProbabilityLoss", "RegressionLoss"]
