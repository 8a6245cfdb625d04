"""Segmentations that no run has made, scored like those of the runs they are compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dacapo.arrays import Array
from dacapo.arrays.units import from_world, is_pixel
from dacapo.comparison.run_record import RunRecord
from dacapo.comparison.verdict import Comparison
from dacapo.config import decode
from dacapo.errors import InputError
from dacapo.experiments.run_config import RunConfig
from dacapo.experiments.tasks.label_groups import LabelGroups
from dacapo.inference.score_files import common_region, open_labels, score_array

if TYPE_CHECKING:
    from dacapo.experiments.datasplits import VolumeConfig
    from dacapo.experiments.datasplits.datasets import Dataset


def with_segmentations(
    comparison: Comparison,
    runs: Sequence[RunRecord],
    segmentations: Mapping[str, Any],
    volumes: Mapping[str, VolumeConfig],
) -> Comparison:
    """A comparison with segmentations from elsewhere.

    Args:
        segmentations: name -> the file of all volumes, or volume -> file.
        volumes: test volumes, instead of those of the runs.

    Raises:
        InputError: a segmentation cannot be opened, lacks a volume or does not fit it.
    """
    names = {configuration.name for configuration in comparison.configurations}
    own = [
        run for run in runs
        if run.configuration in names and run.header is not None
        and run.header.selected_by == comparison.criterion
    ]  # fmt: skip
    if not segmentations or not own:
        return comparison
    datasets: dict[str, Dataset] = {}
    for run in own:  # of which each fold has a volume of its own
        if not datasets.keys() >= {*comparison.volumes}:
            config = decode(run.folder.read_document(run.folder.read_history())["config"])
            assert isinstance(config, RunConfig)
            named = volumes if comparison.part == "test" else {}
            found_here = config.datasplit_config.build_part(comparison.part, named)
            datasets |= {dataset.name: dataset for dataset in found_here}
    assert own[0].header is not None
    task = config.task_config.scored_by(own[0].header.settings.get("task", {}))
    groups = LabelGroups(task.label_classes)
    found = {}
    for label, files in segmentations.items():
        scores = []
        for volume in comparison.volumes:
            uri = _file(label, files, volume)
            key = f"segmentation.{label}"
            if volume not in datasets:
                raise InputError(
                    f"{key}: {volume} was named after training: name it again, as in "
                    f"'datasplit.test={{{volume}: ...}}', or leave segmentation out"
                )
            dataset = datasets[volume]
            _check_same(dataset, own, comparison.part)
            evaluated = score_array(
                _open(uri, key, dataset), dataset, task.evaluator(),
                groups.split if task.label_classes else lambda labels: labels,
            )  # fmt: skip
            scores.append(float(getattr(evaluated, comparison.criterion)))
        found[label] = sum(scores) / len(scores)
    return replace(comparison, elsewhere=found)


def _check_same(dataset: Dataset, runs: Sequence[RunRecord], part: str) -> None:
    """Refuse a volume that has changed since the runs were validated on it."""
    known = {run.header.settings.get("volumes", {}).get(dataset.name) for run in runs if run.header}
    if part == "validate" and known - {None} and dataset.digest() not in known:
        raise InputError(f"{dataset.name} has other voxels than when the runs were scored on it")


def _open(uri: str, key: str, dataset: Dataset) -> Array:
    """A segmentation of a volume; one without a voxel size must have the volume's shape."""
    array, gt = open_labels(uri, key, {}), dataset.gt
    if is_pixel(array.unit) and not is_pixel(gt.unit):
        if array.shape != gt.shape:
            raise InputError(
                f"{key}={uri} gives no voxel size, and its shape, {list(array.shape)}, is not that "
                f"of {dataset.name}, {list(gt.shape)}"
            )
        size, offset = (from_world(v, gt.unit) for v in (gt.voxel_size, gt.offset))
        array = open_labels(uri, key, {"voxel_size": size, "offset": offset, "unit": gt.unit})
    common_region(array, gt, None, overlap_only=False)
    return array


def _file(label: str, files: Any, volume: str) -> str:
    if isinstance(files, str):
        return files
    if not isinstance(files, Mapping) or volume not in files:
        raise InputError(
            f"segmentation.{label}: name its file for {volume}, as in "
            f"'segmentation={{{label}: {{{volume}: FILE}}}}'"
        )
    return str(files[volume])
