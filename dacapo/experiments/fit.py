"""Checks, before training, that data, network and task of a run fit together."""

from __future__ import annotations

from collections.abc import Sequence

from funlib.geometry import Coordinate, Roi

from dacapo.arrays.units import from_world
from dacapo.errors import InputError
from dacapo.experiments.architectures.architecture import Architecture
from dacapo.experiments.datasplits.datasets import Dataset
from dacapo.experiments.datasplits.datasplit import DataSplit
from dacapo.experiments.datasplits.findings import check_labels
from dacapo.experiments.model import Model
from dacapo.experiments.tasks.predictors import Predictor
from dacapo.experiments.trainers.trainer import SampleShape


def check_task_axes(predictor: Predictor, architecture: Architecture) -> None:
    """Refuse a task whose number of spatial axes differs from the network's."""
    if predictor.num_axes not in (None, architecture.dims):
        raise InputError(
            f"task.neighborhood has offsets of {predictor.num_axes} axes, but "
            f"architecture.input_shape has {architecture.dims}"
        )


def check_data(datasplit: DataSplit, model: Model, predictor: Predictor) -> SampleShape:
    """The shapes and voxel sizes of a training sample.

    Raises:
        InputError: the data do not fit the network or the task, or labels of splits overlap.
    """
    shape = _sample_shape(datasplit, model)
    _check_classes(datasplit, predictor)
    _check_known(datasplit.train, predictor)
    for dataset in datasplit.train:
        _check_size(dataset, model.input_shape)
        dataset.check_annotated(to_score=False)
    for dataset in datasplit.validate:
        dataset.check_annotated(to_score=True)
    for part in (datasplit.train, datasplit.validate):
        check_labels(part, are_objects=not predictor.classes)
    datasplit.check_apart(_reach(predictor, shape.output_voxel_size))
    return shape


def _sample_shape(datasplit: DataSplit, model: Model) -> SampleShape:
    first, dims = datasplit.train[0], model.input_shape.dims
    if first.raw.dims != dims:
        raise InputError(
            f"architecture.input_shape has {dims} axes, but {first.raw.name} has {first.raw.dims}"
        )
    for dataset in datasplit.all:
        if dataset.num_channels != model.num_in_channels:
            raise InputError(
                f"architecture.fmaps_in={model.num_in_channels}, but {dataset.raw.name} has "
                f"{dataset.num_channels} channels"
            )
    input_voxel_size = first.raw.voxel_size
    output_voxel_size = model.scale(input_voxel_size)
    if first.gt.voxel_size != output_voxel_size:
        unit = first.gt.unit
        raise InputError(
            f"the model predicts voxels of {from_world(output_voxel_size, unit)} {unit}, but "
            f"{first.gt.name} has {from_world(first.gt.voxel_size, unit)}: change "
            f"architecture.upsample_factors"
        )
    shape = SampleShape(model.input_shape, input_voxel_size, model.output_shape, output_voxel_size)
    if not shape.context.is_multiple_of(input_voxel_size):
        raise InputError(
            f"architecture: the output {list(shape.output_shape)} cannot be centred on the "
            f"voxels of input_shape={list(shape.input_shape)}; change either by one"
        )
    return shape


def _check_classes(datasplit: DataSplit, predictor: Predictor) -> None:
    """Check that the classes of datasets exist, and that each class occurs in training data."""
    classes = predictor.classes
    for dataset in datasplit.all:
        unknown = sorted(set(dataset.classes or ()) - set(classes))
        if classes and unknown:
            raise InputError(
                f"dataset {dataset.name}: classes names {unknown[0]}, which is not one of "
                f"task.classes: {', '.join(classes)}"
            )
    missing = set(classes)
    for dataset in datasplit.train:
        annotated = {c for c, a in zip(classes, dataset.annotates(classes), strict=True) if a}
        for block in dataset.blocks() if missing & annotated else ():
            masks = predictor.class_masks(dataset.read_gt(block))
            here = {name for name, mask in zip(classes, masks, strict=True) if mask.any()}
            missing -= annotated & here
            if not missing & annotated:
                break
    if missing:
        raise InputError(
            f"task.classes: no training volume has a voxel of {', '.join(sorted(missing))} that is "
            f"annotated"
        )


def _check_known(train: Sequence[Dataset], predictor: Predictor) -> None:
    """Check that the target of each channel is known somewhere."""
    labels = [dataset.gt for dataset in train]
    unknown = [predictor.unknown_in(gt.shape, gt.voxel_size) for gt in labels]
    if all(unknown):
        raise InputError(
            f"{labels[0].name} has {list(labels[0].shape)} voxels, and no training volume has "
            f"enough: {unknown[0]}"
        )


def _check_size(dataset: Dataset, input_shape: Coordinate) -> None:
    shape = dataset.raw.shape
    if any(s < i for s, i in zip(shape, input_shape, strict=True)):
        raise InputError(
            f"{dataset.raw.name} has {list(shape)} voxels, fewer than the network's input, "
            f"architecture.input_shape={list(input_shape)}"
        )


def _reach(predictor: Predictor, voxel_size: Coordinate) -> Coordinate:
    """How far the target of a voxel depends on labels around it, in world units."""
    voxel = Roi(voxel_size * 0, voxel_size)
    seen = predictor.gt_region_for_roi(voxel, voxel_size)
    both = zip(voxel.begin - seen.begin, seen.end - voxel.end, strict=True)
    return Coordinate(max(before, after) for before, after in both)
