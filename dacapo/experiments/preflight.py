"""What can be checked of a run without torch, whose import takes seconds, and without a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from dacapo.errors import InputError, warn
from dacapo.experiments.architectures.architecture_config import ShapedConfig
from dacapo.processes.ranks import current_ranks

if TYPE_CHECKING:
    from funlib.geometry import Coordinate

    from dacapo.arrays import Array
    from dacapo.experiments.datasplits.datasets import Dataset
    from dacapo.experiments.datasplits.datasplit import DataSplit
    from dacapo.experiments.run_config import RunConfig

_LONG_WARMUP = 100
Classes = Mapping[str, Sequence[int]]


def preflight(run_config: RunConfig) -> DataSplit:
    """The data of a run, after all checks that need no network.

    Raises:
        InputError: a criterion does not exist, a file cannot be read, or the data do not fit the
            options.
    """
    from dacapo.experiments.tasks.evaluators import check_criterion

    task = run_config.task_config
    evaluator = task.evaluator()
    check_criterion(evaluator, task.criterion)
    run_config.trainer_config.check_criteria(evaluator.evaluation_scores.criteria)
    run_config.trainer_config.check_classes(task.label_classes)
    datasplit = run_config.datasplit_config.build()
    for odd in check_fit(run_config, datasplit):
        if current_ranks().is_first:
            warn(odd)
    return datasplit


def check_fit(run_config: RunConfig, datasplit: DataSplit) -> list[str]:
    """Refuse data that do not fit the options of a run, as far as that needs no network.

    Returns:
        What is odd but may be right.
    """
    architecture = run_config.architecture_config
    if isinstance(architecture, ShapedConfig):
        check_shapes(datasplit, architecture.input_shape, architecture.fmaps_in)
        first = datasplit.train[0]
        if (size := architecture.output_voxel_size(first.raw.voxel_size)) is not None:
            check_voxel_size(first, size)
    odd = _check_annotations(datasplit, run_config.task_config.label_classes)
    odd += _check_skeletons(datasplit, getattr(run_config.task_config, "run_length", False))
    warmup = getattr(run_config.trainer_config, "warmup_iterations", 0)
    if warmup >= max(run_config.num_iterations, _LONG_WARMUP):
        odd.append(
            f"trainer.warmup_iterations={warmup}: the learning rate still rises when the run ends, "
            f"num_iterations={run_config.num_iterations}"
        )
    return odd


def _check_annotations(datasplit: DataSplit, classes: Classes) -> list[str]:
    """Refuse labels that cannot be what the task takes them for.

    Args:
        classes: class -> label ids; empty if labels are ids of objects.
    """
    from dacapo.experiments.datasplits.findings import check_labels, unused_ignore_label

    for dataset in datasplit.train:
        dataset.check_annotated(to_score=False)
        dataset.check_weight()
    for dataset in datasplit.validate:
        dataset.check_annotated(to_score=True)
    parts = datasplit.train, datasplit.validate
    odd = [line for part in parts for line in check_labels(part, are_objects=not classes)]
    odd += unused_ignore_label([dataset for part in parts for dataset in part])
    _check_classes(datasplit, classes)
    datasplit.check_apart(datasplit.train[0].gt.voxel_size * 0)
    return odd


def _check_skeletons(datasplit: DataSplit, is_scored: bool) -> list[str]:
    """Refuse run lengths without skeletons; returns what is odd."""
    traced = [d for d in datasplit.validate if d.skeletons is not None]
    if is_scored and not traced:
        raise InputError(
            "task.run_length=true needs skeletons: set datasplit.validate.NAME.skeletons"
        )
    if traced and not is_scored:
        return [f"dataset {traced[0].name}: skeletons are scored only with task.run_length=true"]
    for dataset in traced:
        dataset.check_skeletons()
    return []


def check_shapes(datasplit: DataSplit, input_shape: Sequence[int], num_channels: int) -> None:
    """Refuse data that do not fit the input of a network."""
    for dataset in datasplit.all:
        raw = dataset.raw
        if raw.dims != len(input_shape):
            raise InputError(
                f"architecture.input_shape has {len(input_shape)} axes, but {raw.name} has "
                f"{raw.dims}"
            )
        if dataset.num_channels != num_channels:
            raise InputError(
                f"architecture.fmaps_in={num_channels}, but {raw.name} has "
                f"{dataset.num_channels} channels"
            )
    for dataset in datasplit.train:
        raw, shape = dataset.raw, dataset.raw.shape
        if any(s < i for s, i in zip(shape, input_shape, strict=True)):
            raise InputError(
                f"{raw.name} has {list(shape)} voxels, fewer than the network's input, "
                f"architecture.input_shape={list(input_shape)}{_channels_hint(raw, shape)}"
            )


def check_voxel_size(dataset: Dataset, predicted: Coordinate) -> None:
    """Refuse labels whose voxels differ from those that the network predicts.

    Args:
        predicted: the voxel size of the network's output for the raw of this dataset.
    """
    from dacapo.arrays.units import from_world

    gt, unit = dataset.gt, dataset.gt.unit
    if gt.voxel_size == predicted:
        return
    size, theirs = from_world(gt.voxel_size, unit), from_world(predicted, unit)
    is_finer = all(a <= b for a, b in zip(gt.voxel_size, predicted, strict=True))
    remedy = (
        "predict finer voxels with architecture.upsample_factors, or set"
        if is_finer
        else "set the voxel size at which to train,"
    )
    raise InputError(
        f"the model predicts voxels of {theirs} {unit}, but {gt.name} has {size}: {remedy} "
        f"datasplit.resample={theirs if is_finer else size}"
    )


def _channels_hint(raw: Array, shape: Sequence[int]) -> str:
    """What to do if an axis that is taken for space may hold colours."""
    thin = [name for name, n in zip(raw.axis_names, shape, strict=True) if n in (2, 3, 4)]
    if not thin:
        return ""
    return (
        f"; if {thin[0]} holds channels, name it in datasplit.arrays with its axes, such as "
        f"{{open: ..., axes: cyx}}"
    )


def _check_classes(datasplit: DataSplit, classes: Classes) -> None:
    """Check that the classes of datasets exist, and that each class occurs in training data."""
    import numpy as np

    for dataset in datasplit.all:
        unknown = sorted(set(dataset.classes or ()) - set(classes))
        if unknown:
            known = f"one of task.classes: {', '.join(classes)}" if classes else (
                "a class of the task, which names none: labels are ids of objects"
            )  # fmt: skip
            raise InputError(
                f"dataset {dataset.name}: classes names {unknown[0]}, which is not {known}"
            )
    missing = set(classes)
    for dataset in datasplit.train:
        annotated = {c for c in classes if dataset.classes is None or c in dataset.classes}
        for block in dataset.blocks() if missing & annotated else ():
            held = set(np.unique(dataset.read_gt(block)[dataset.read_mask(block) != 0]).tolist())
            missing -= {c for c in annotated if held & set(classes[c])}
            if not missing & annotated:
                break
    if missing:
        raise InputError(
            f"task.classes: no training volume has a voxel of {', '.join(sorted(missing))} that is "
            f"annotated"
        )
