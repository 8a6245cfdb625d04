"""Scores any segmentation against ground truth, without a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from funlib.geometry import Roi

from dacapo.arrays import Array, open_array
from dacapo.arrays.formats.swc import read_swc
from dacapo.arrays.units import from_world, is_pixel
from dacapo.errors import InputError
from dacapo.experiments.datasplits.datasets import Dataset, as_labels
from dacapo.experiments.tasks.evaluators import Evaluator, GroundTruth, InstanceEvaluator
from dacapo.inference.error_sites import find_sites, write_sites
from dacapo.inference.ground_truth import ground_truth

_MAX_SITES = 1000
_BLOCK = 256
"""Edge of the blocks in which ids are compared, in voxels."""

Labels = np.ndarray[Any, np.dtype[Any]]


def score_files(
    segmentation: str,
    gt: str,
    evaluator: Evaluator,
    *,
    mask: str | None = None,
    read_labels: Callable[[Labels], Labels] = lambda labels: labels,
    ignore_label: int | None = None,
    skeletons: str | None = None,
    overlap_only: bool = False,
    voxel_size: Sequence[float] | None = None,
    unit: str | None = None,
    progress: Callable[[str, int, int], None] = lambda name, done, num: None,
    sites: Path | None = None,
) -> tuple[Any, str]:
    """The scores, and a description of the region that was scored.

    Args:
        segmentation, gt, mask: files on one grid.
        read_labels: converts the labels of the segmentation's file to the evaluator's input.
        ignore_label: voxels with this ground-truth label are not annotated.
        skeletons: an .swc file or a folder of such files, in the unit of the ground truth.
        overlap_only: score only the region that all files share, not all of the ground truth.
        voxel_size, unit: override the files' metadata.
        progress: is told the number of blocks that were compared, and of all.
        sites: a table to write of the places where objects are split or merged.

    Raises:
        InputError: a file cannot be opened, or the files do not fit together.
    """
    grid = {"voxel_size": voxel_size, "unit": unit}
    output, labels = (
        open_labels(u, k, grid) for u, k in ((segmentation, "segmentation"), (gt, "gt"))
    )
    annotated = None if mask is None else open_labels(mask, "mask", grid)
    roi = common_region(output, labels, annotated, overlap_only)
    if skeletons is not None and labels.dims != 3:
        raise InputError(f"skeletons={skeletons}: skeletons need a 3D volume")
    traced = None if skeletons is None else read_swc(Path(skeletons), labels.unit)
    dataset = Dataset(
        "gt", labels, labels.crop(roi), annotated, ignore_label=ignore_label, skeletons=traced
    )
    scores = score_array(output, dataset, evaluator, read_labels, progress)
    if sites is not None:
        found = find_sites(output, dataset, list(dataset.blocks(_BLOCK)), progress)
        write_sites(sites, found[:_MAX_SITES], labels)
    return scores, f"{list(roi.shape / labels.voxel_size)} voxels, {labels.extent(roi)}"


def score_array(
    output: Array,
    dataset: Dataset,
    evaluator: Evaluator,
    read_labels: Callable[[Labels], Labels] = lambda labels: labels,
    progress: Callable[[str, int, int], None] = lambda name, done, num: None,
) -> Any:
    """The scores of a segmentation on the labelled region of a dataset, which it must cover.

    Instances are compared block by block.
    """
    if isinstance(evaluator, InstanceEvaluator):
        rois = list(dataset.blocks(_BLOCK))
        return evaluator.evaluate_blocks(_blocks(output, dataset, rois, progress))
    ((voxels, known),) = _blocks(output, dataset, [dataset.gt.roi], progress)
    return evaluator.against(known)(read_labels(voxels))


def _blocks(
    output: Array, dataset: Dataset, rois: Sequence[Roi], progress: Callable[[str, int, int], None]
) -> Iterator[tuple[Labels, GroundTruth]]:
    """The labels of regions; those without an annotated voxel are left out."""
    is_annotated = False
    for number, roi in enumerate(rois, start=1):
        known = ground_truth(replace(dataset, gt=dataset.gt.crop(roi)))
        if np.any(known.mask):
            is_annotated = True
            yield as_labels(output.read(roi)).reshape(known.gt.shape), known
        progress("score", number, len(rois))
    if not is_annotated:
        raise InputError(f"{dataset.gt.name}: no voxel is annotated in the region to score")


def open_labels(uri: str, key: str, grid: Mapping[str, Any]) -> Array:
    """Open a volume of labels.

    Raises:
        InputError: it cannot be opened, or holds no labels.
    """
    array = open_array(uri, key=key, pixels_if_silent=True, **grid)
    if key != "mask" and array.dtype.kind not in "iub":
        raise InputError(f"{array.name}: labels must be integers, not {array.dtype}")
    if any(n != 1 for n in array.channel_shape):
        raise InputError(f"{array.name}: one channel expected, shape {array.source.shape}")
    return array


def common_region(segmentation: Array, gt: Array, mask: Array | None, overlap_only: bool) -> Roi:
    """The region to score: all of the ground truth, which the other arrays must cover."""
    roi = gt.roi
    for other in (segmentation, mask):
        if other is None:
            continue
        if is_pixel(other.unit) != is_pixel(gt.unit):
            silent, known = (other, gt) if is_pixel(other.unit) else (gt, other)
            raise InputError(
                f"{silent.name} gives no voxel size, and {known.name} has "
                f"{from_world(known.voxel_size, known.unit)} {known.unit}: set voxel_size and unit"
            )
        if other.voxel_size != gt.voxel_size or other.dims != gt.dims:
            raise InputError(
                f"{other.name} has voxels of {from_world(other.voxel_size, other.unit)} "
                f"{other.unit} and {gt.name} of {from_world(gt.voxel_size, gt.unit)} {gt.unit}: "
                f"they must be equal"
            )
        if other.roi.contains(gt.roi):
            continue
        if not overlap_only or not other.roi.intersects(roi):
            raise InputError(
                f"{other.name} does not cover {gt.name}: {other.extent()} and "
                f"{gt.extent()}; overlap_only=true scores only the region that both cover"
            )
        roi = roi.intersect(other.roi)
    return roi
