"""Predictors: the targets of a task, and the model that predicts them."""

from dacapo.experiments.tasks.predictors.affinities_predictor import AffinitiesPredictor
from dacapo.experiments.tasks.predictors.boundary_predictor import BoundaryPredictor
from dacapo.experiments.tasks.predictors.class_predictor import ClassPredictor, OneHotPredictor
from dacapo.experiments.tasks.predictors.combined_predictor import CombinedPredictor
from dacapo.experiments.tasks.predictors.descriptors_predictor import DescriptorsPredictor
from dacapo.experiments.tasks.predictors.distance_predictor import DistancePredictor
from dacapo.experiments.tasks.predictors.predictor import (
    GroupsPredictor,
    MirroredChannel,
    Predictor,
)

__all__ = [
    "AffinitiesPredictor",
    "BoundaryPredictor",
    "ClassPredictor",
    "CombinedPredictor",
    "DescriptorsPredictor",
    "DistancePredictor",
    "GroupsPredictor",
    "MirroredChannel",
    "OneHotPredictor",
    "Predictor",
]
