"""What the labels of a dataset contain, and what looks wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from dacapo.arrays.views import neighbours, sample_blocks
from dacapo.errors import InputError
from dacapo.experiments.datasplits.datasets import Dataset
from dacapo.ops.objects import count_faces

_MAX_BLOCKS = 64
_TINY = 10  # voxels
_CHECKED_EDGE = 64
_NUM_CHECKED = 8
_MIN_PAIRS = 1000
_MAX_DIFFERING = 0.55
"""Share of neighbouring labelled voxels with different ids: at most 0.05 in real labels, at least
0.6 in raw."""
_MAX_READ = 512**3
DENSE = 0.5
"""Share of the objects' surface that faces other objects: about 1 or 0 in all real data seen."""
_MAX_BACKGROUND = 0.1
_SHIFTS = range(-4, 5)
Volume = np.ndarray[Any, np.dtype[Any]]


@dataclass
class Findings:
    """What one dataset contains, from all of its labels or a sample of blocks.

    Attributes:
        is_whole: whether all labels were examined.
        sizes: id -> annotated voxels.
        annotated: fraction of the labelled region.
        isolated: fraction of labelled voxels without a face neighbour of the same id.
        touching: share of the objects' surface that faces another object, not background.
        low, high: the range of raw around the labels.
        warnings: what looks wrong.
    """

    is_whole: bool
    sizes: dict[int, int]
    annotated: float
    isolated: float
    touching: float
    low: float
    high: float
    warnings: list[str] = field(default_factory=list)


def inspect_labels(dataset: Dataset, classes: Mapping[str, Sequence[int]]) -> Findings:
    """Count annotated voxels, and look for common mistakes."""
    blocks = list(dataset.blocks())
    step = max(1, len(blocks) // _MAX_BLOCKS)
    sizes: dict[int, int] = {}
    known = isolated = labelled = seen = contact = surface = 0
    low, high = np.inf, -np.inf
    for block in blocks[::step]:
        labels, mask = dataset.read_gt(block), dataset.read_mask(block) != 0
        ids, counts = np.unique(labels[mask], return_counts=True)
        for i, n in zip(ids.tolist(), counts.tolist(), strict=True):
            sizes[i] = sizes.get(i, 0) + n
        known, seen = known + int(mask.sum()), seen + mask.size
        objects = mask & (labels != 0)
        labelled += int(objects.sum())
        isolated += int((objects & _alone(labels)).sum())
        between, all_faces = count_faces(labels, mask)
        contact, surface = contact + between, surface + all_faces
        raw = dataset.raw.read(block, out_of_bounds="mirror")
        low, high = min(low, float(raw.min())), max(high, float(raw.max()))
    findings = Findings(
        step == 1, sizes, known / seen, isolated / max(1, labelled), contact / max(1, surface),
        low, high,
    )  # fmt: skip
    findings.warnings = [
        *_label_warnings(dataset, findings, bool(classes)),
        *_shift_warnings(dataset),
    ]
    return findings


def check_labels(datasets: Sequence[Dataset], are_objects: bool) -> list[str]:
    """Refuse labels that cannot be what they are used for, by a few blocks of each dataset.

    Args:
        datasets: those of one part of a split.
        are_objects: ids are those of objects, not of classes.

    Returns:
        What is odd but may be right.

    Raises:
        InputError: an id is negative, labels look like intensities, or all of an instance
            segmentation is one object.
    """
    odd = [line for dataset in datasets for line in _odd_values(dataset)]
    for dataset in datasets:
        if are_objects and dataset.gt.dtype == np.bool_:
            raise InputError(
                f"{dataset.gt.name} is true or false, so it is a mask and all of its objects are "
                f"one: give each object an id, or train classes, such as task=one_hot "
                f"'task.classes={{object: [1]}}'"
            )
    ids = set().union(*(_check_ids(dataset) for dataset in datasets))
    if not are_objects or len(ids - {0}) != 1:
        return odd
    names = ", ".join(dataset.gt.name for dataset in datasets)
    if 0 not in ids and all(map(_is_one_id, datasets)):
        raise InputError(
            f"every annotated voxel of {names} has the id {ids.pop()}, so there are no objects to "
            f"tell apart: is it a mask?"
        )
    return [
        *odd,
        f"all labelled voxels that were examined in {names} have the id {max(ids)}: if it is a "
        f"mask of several objects, give each an id of its own, such as by connected components",
    ]


def _odd_values(dataset: Dataset) -> list[str]:
    """Raw without contrast."""
    odd = []
    values = {
        float(v)
        for block in sample_blocks(dataset.raw, _CHECKED_EDGE, _NUM_CHECKED)
        for v in (lambda raw: (raw.min(), raw.max()))(dataset.raw.read(block))
    }
    if len(values) == 1:
        odd.append(f"{dataset.raw.name} is {values.pop():g} wherever it was examined")
    return odd


def unused_ignore_label(datasets: Sequence[Dataset]) -> list[str]:
    """Warn of an ignore_label that no voxel of any dataset has."""
    ignored = next((d.ignore_label for d in datasets if d.ignore_label is not None), None)
    if ignored is None or any(prod(dataset.gt.shape) > _MAX_READ for dataset in datasets):
        return []
    for dataset in datasets:
        if any((dataset.read_gt(block) == ignored).any() for block in dataset.blocks()):
            return []
    names = ", ".join(dict.fromkeys(dataset.gt.name for dataset in datasets))
    return [f"ignore_label={ignored}: no voxel of {names} has it"]


def _check_ids(dataset: Dataset) -> set[int]:
    """The ids in a sample of blocks."""
    pairs = differing = 0
    ids: set[int] = set()
    for block in sample_blocks(dataset.gt, _CHECKED_EDGE, _NUM_CHECKED):
        labels, mask = dataset.read_gt(block), dataset.read_mask(block) != 0
        ids |= set(np.unique(labels[mask]).tolist())
        number, differ = neighbours(labels, mask & (labels != 0))
        pairs, differing = pairs + number, differing + differ
    if ids and min(ids) < 0:
        raise InputError(
            f"dataset {dataset.name}: {dataset.gt.name} has the id {min(ids)}: ids of objects are "
            f"positive; if it marks what is not annotated, set datasplit.ignore_label={min(ids)}"
        )
    if pairs >= _MIN_PAIRS and differing > _MAX_DIFFERING * pairs:
        raise InputError(
            f"dataset {dataset.name}: {differing / pairs:.0%} of neighbouring labelled voxels of "
            f"{dataset.gt.name} have different ids, as in an image: are raw and gt swapped?"
        )
    return ids


def _is_one_id(dataset: Dataset) -> bool:
    """Whether all labels are one id; not if there are too many to read all of them."""
    if prod(dataset.gt.shape) > _MAX_READ:
        return False
    found: set[int] = set()
    for block in dataset.blocks():
        labels, mask = dataset.read_gt(block), dataset.read_mask(block) != 0
        found |= set(np.unique(labels[mask]).tolist())
        if len(found) > 1:
            return False
    return True


def _alone(labels: Volume) -> Volume:
    """Voxels without a face neighbour of the same label."""
    alone = np.ones(labels.shape, np.bool_)
    for axis in range(labels.ndim):
        same = np.diff(labels.astype(np.uint64), axis=axis) == 0
        after = [(0, 0)] * labels.ndim
        after[axis] = (0, 1)
        before = [(0, 0)] * labels.ndim
        before[axis] = (1, 0)
        alone &= ~np.pad(same, after) & ~np.pad(same, before)
    return alone


def _label_warnings(dataset: Dataset, findings: Findings, are_classes: bool) -> list[str]:
    objects = {i: n for i, n in findings.sizes.items() if i != 0}
    warnings: list[str] = []
    if not objects:
        return ["no object is annotated"]
    try:
        warnings += check_labels([dataset], not are_classes)
    except InputError as error:
        return [str(error)]
    tiny = sum(n < _TINY for n in objects.values())
    if findings.is_whole and not are_classes and tiny > 0.02 * len(objects):
        warnings.append(
            f"{tiny} of {len(objects)} objects have fewer than {_TINY} voxels: fragments? "
            f"task.ignore_smaller leaves small ones out of the scores"
        )
    if dataset.gt.dtype.itemsize == 1 and len(objects) >= 250 and not are_classes:
        warnings.append(
            f"{len(objects)} ids in {dataset.gt.dtype}: 8 bits hold 255, so ids may have wrapped "
            f"around and several objects share one"
        )
    background = findings.sizes.get(0, 0) / sum(findings.sizes.values())
    if not are_classes and findings.touching >= DENSE and background > _MAX_BACKGROUND:
        warnings.append(
            f"objects are dense, but {background:.0%} of the voxels have the label 0, and a "
            f"network will learn that they are background: if they are not annotated, name them by "
            f"ignore_label or by a mask"
        )
    if findings.isolated > 0.001:
        warnings.append(
            f"{findings.isolated:.2%} of the labelled voxels have no neighbour of the same id: "
            f"labels that were interpolated or downsampled badly look like that"
        )
    return warnings


def _shift_warnings(dataset: Dataset) -> list[str]:
    """Warn if label borders match membranes or edges in raw better when shifted by some voxels."""
    raw, gt = dataset.raw, dataset.gt
    blocks = list(dataset.blocks())
    block = blocks[len(blocks) // 2]
    if raw.voxel_size != gt.voxel_size or min(block.shape / gt.voxel_size) < 16:
        return []
    grey = dataset.read_raw(block)[0].astype(np.float64)
    labels = dataset.read_gt(block).astype(np.float64)
    inner = (slice(max(_SHIFTS), -max(_SHIFTS)),) * grey.ndim
    features = [grey, np.sqrt(sum(g**2 for g in np.gradient(grey)))]
    explained = np.stack([np.ones(grey[inner].size), *(f[inner].ravel() for f in features)], 1)
    borders = (sum(np.abs(g) for g in np.gradient(labels)) > 0).astype(np.float64)
    fit = {}
    for axis in range(grey.ndim):
        for shift in _SHIFTS:
            moved = np.roll(borders, shift, axis=axis)[inner].ravel()
            if moved.std() == 0:
                return []
            weights = np.linalg.lstsq(explained, moved, rcond=None)[0]
            fit[axis, shift] = float((explained @ weights).std() / moved.std())
    (axis, shift), best = max(fit.items(), key=lambda item: item[1])
    # A membrane has an edge on either side, so only a shift in a single direction is evidence.
    if abs(shift) < 2 or best < fit[axis, 0] + 0.05 or best < fit[axis, -shift] + 0.05:
        return []
    return [
        f"labels fit raw better when moved by {shift} voxels along {gt.axis_names[axis]} "
        f"(correlation of borders {best:.2f}, as they are {fit[axis, 0]:.2f}): is the offset right?"
    ]
