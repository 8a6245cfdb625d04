"""From labels to targets, and from an architecture to a model that predicts them."""

from dacapo.experiments.tasks.predictors.affinities_predictor import AffinitiesPredictor
from dacapo.experiments.tasks.predictors.predictor import Predictor

__all__ = ["AffinitiesPredictor", "Predictor"]
