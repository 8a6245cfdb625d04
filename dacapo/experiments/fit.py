"""Checks, before training, that data, network and task of a run fit together."""

from __future__ import annotations

from collections.abc import Sequence

from funlib.geometry import Coordinate, Roi

from dacapo.errors import InputError
from dacapo.experiments.datasplits.datasets import Dataset
from dacapo.experiments.datasplits.datasplit import DataSplit
from dacapo.experiments.model import Model
from dacapo.experiments.preflight import check_shapes, check_voxel_size
from dacapo.experiments.tasks.predictors import Predictor
from dacapo.experiments.trainers.trainer import SampleShape


def check_data(datasplit: DataSplit, model: Model, predictor: Predictor) -> SampleShape:
    """The shapes and voxel sizes of a training sample.

    Raises:
        InputError: the data do not fit the network or the task, or labels of splits are too close.
    """
    check_shapes(datasplit, model.input_shape, model.num_in_channels)
    shape = _sample_shape(datasplit, model)
    _check_known(datasplit.train, predictor)
    datasplit.check_apart(target_reach(predictor, shape.output_voxel_size))
    return shape


def _sample_shape(datasplit: DataSplit, model: Model) -> SampleShape:
    first = datasplit.train[0]
    input_voxel_size = first.raw.voxel_size
    output_voxel_size = model.scale(input_voxel_size)
    check_voxel_size(first, output_voxel_size)
    shape = SampleShape(model.input_shape, input_voxel_size, model.output_shape, output_voxel_size)
    if not shape.context.is_multiple_of(input_voxel_size):
        raise InputError(
            f"architecture: the output {list(shape.output_shape)} cannot be centred on the "
            f"voxels of input_shape={list(shape.input_shape)}; change either by one"
        )
    return shape


def _check_known(train: Sequence[Dataset], predictor: Predictor) -> None:
    """Check that the target of each channel is known somewhere."""
    labels = [dataset.gt for dataset in train]
    unknown = [predictor.unknown_in(gt.shape, gt.voxel_size) for gt in labels]
    if all(unknown):
        raise InputError(
            f"{labels[0].name} has {list(labels[0].shape)} voxels, and no training volume has "
            f"enough: {unknown[0]}"
        )


def target_reach(predictor: Predictor, voxel_size: Coordinate) -> Coordinate:
    """How far the target of a voxel depends on labels around it, in world units."""
    voxel = Roi(voxel_size * 0, voxel_size)
    seen = predictor.gt_region_for_roi(voxel, voxel_size)
    both = zip(voxel.begin - seen.begin, seen.end - voxel.end, strict=True)
    return Coordinate(max(before, after) for before, after in both)
