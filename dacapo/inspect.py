"""`python -m dacapo.inspect datasplit=...`: what the data are, and what looks wrong in them."""

from __future__ import annotations

import html
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

import dacapo.experiments.run_config  # noqa: F401  (offers all configs to Hydra)
from dacapo.arrays.units import from_world
from dacapo.config import conf_dir
from dacapo.errors import InputError, one_line_errors
from dacapo.experiments.datasplits import DataSplitConfig
from dacapo.figures.html import page, picture
from dacapo.figures.html import table as table_of

if TYPE_CHECKING:
    from dacapo.experiments.datasplits.datasets import Dataset
    from dacapo.experiments.datasplits.datasplit import DataSplit

_MOST_BLOCKS = 64
_TINY = 10  # voxels
_SHIFTS = range(-4, 5)
Volume = np.ndarray[Any, np.dtype[Any]]


@dataclass
class Findings:
    """What one dataset holds, from all of its labels or from blocks spread over them.

    Attributes:
        is_whole: all labels were looked at.
        sizes: id -> annotated voxels.
        annotated: share of the labelled region.
        isolated: share of labelled voxels none of whose face neighbours has the same id.
        low, high: of raw around the labels.
        warnings: what looks wrong.
    """

    is_whole: bool
    sizes: dict[int, int]
    annotated: float
    isolated: float
    low: float
    high: float
    warnings: list[str] = field(default_factory=list)


def main() -> None:
    """The command line: the overrides of dacapo.train, and output=inspect.html."""
    with one_line_errors():
        arguments = [a for a in sys.argv[1:] if not a.startswith("output=")]
        output = next((a[7:] for a in sys.argv[1:] if a.startswith("output=")), "inspect.html")
        if not arguments or {"-h", "--help"} & set(arguments):
            print(f"{main.__doc__}\n\npython -m dacapo.inspect datasplit=volumes datasplit.raw=...")
            return
        with initialize_config_dir(conf_dir(), version_base="1.3"):
            cfg = compose("train", overrides=arguments)
        missing = sorted(k for k in OmegaConf.missing_keys(cfg) if k.startswith("datasplit."))
        if missing:
            raise InputError(f"{', '.join(missing)}: required, give a value")
        config = OmegaConf.to_object(cfg.datasplit)
        assert isinstance(config, DataSplitConfig)
        classes = OmegaConf.select(cfg, "task.classes", throw_on_missing=False) or {}
        inspect(config.build(), {str(k): list(v) for k, v in classes.items()}, Path(output))


def inspect(datasplit: DataSplit, classes: Mapping[str, Sequence[int]], output: Path) -> None:
    """Print a table and the warnings, and write a page with pictures."""
    from dacapo.runs.atomic import write_atomically
    from dacapo.training.terminal import console, table

    found = {
        f"{part}.{dataset.name}": (dataset, look_at(dataset, classes))
        for part in ("train", "validate", "test")
        for dataset in getattr(datasplit, part)
    }
    rows = [[name, *row(dataset, findings, classes)] for name, (dataset, findings) in found.items()]
    hit = "classes" if classes else "objects"
    columns = ["volume", "raw", "voxel size", "range", "labels", hit, "annotated"]
    table("Data", columns, rows)
    warnings = [f"{name}: {w}" for name, (_, f) in found.items() for w in f.warnings]
    try:
        datasplit.check_apart(datasplit.train[0].gt.voxel_size * 0)
    except InputError as error:
        warnings.append(str(error))
    held = {i for _, f in found.values() for i in f.sizes}
    warnings += [
        f"class {name} has no annotated voxel in any volume"
        for name, ids in classes.items()
        if not held & set(ids)
    ]
    for warning in warnings:
        console.print(f"warning: {warning}")
    listed = "".join(f"<li>{html.escape(w)}</li>" for w in warnings) or "<li>none</li>"
    pictures = (
        f"<h2>{html.escape(name)}</h2><p>{html.escape(dataset.raw.name)}<br>"
        f"{html.escape(dataset.gt.name)}, {html.escape(dataset.gt.extent())}</p>{_slices(dataset)}"
        for name, (dataset, _) in found.items()
    )
    warned = f"<h2>Warnings</h2><ul>{listed}</ul>"
    text = page("Data", table_of(columns, rows), warned, *pictures)
    write_atomically(output, text.encode())
    console.print(f"{len(rows)} volumes, {len(warnings)} warnings; pictures: {output}")


def row(dataset: Dataset, findings: Findings, classes: Mapping[str, Sequence[int]]) -> list[str]:
    """The cells of a dataset's row."""
    raw, gt, sizes = dataset.raw, dataset.gt, findings.sizes
    about = "" if findings.is_whole else "about "
    held = f"{sum(i != 0 for i in sizes)}"
    if classes:
        known = max(1, sum(sizes.values()))
        shares = {name: sum(sizes.get(i, 0) for i in ids) / known for name, ids in classes.items()}
        held = ", ".join(f"{name} {share:.1%}" for name, share in shares.items())
    return [
        f"{_shape(raw.source.shape)} {raw.dtype}",
        f"{_shape(from_world(raw.voxel_size, raw.unit))} {raw.unit}",
        f"{findings.low:g} to {findings.high:g}",
        f"{_shape(gt.shape)} {gt.dtype}",
        f"{about}{held}",
        f"{about}{findings.annotated:.1%}",
    ]


def _shape(sizes: Sequence[float]) -> str:
    return "x".join(f"{s:g}" for s in sizes)


def look_at(dataset: Dataset, classes: Mapping[str, Sequence[int]]) -> Findings:
    """Count what is annotated, and look for the usual mistakes."""
    blocks = list(dataset.blocks())
    step = max(1, len(blocks) // _MOST_BLOCKS)
    sizes: dict[int, int] = {}
    known = isolated = labelled = seen = 0
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
        raw = dataset.raw.read(block, out_of_bounds="mirror")
        low, high = min(low, float(raw.min())), max(high, float(raw.max()))
    findings = Findings(step == 1, sizes, known / seen, isolated / max(1, labelled), low, high)
    findings.warnings = [*_odd_labels(dataset, findings, bool(classes)), *_shift(dataset)]
    return findings


def _alone(labels: Volume) -> Volume:
    """Voxels none of whose face neighbours has the same label."""
    alone = np.ones(labels.shape, np.bool_)
    for axis in range(labels.ndim):
        same = np.diff(labels.astype(np.uint64), axis=axis) == 0
        after = [(0, 0)] * labels.ndim
        after[axis] = (0, 1)
        before = [(0, 0)] * labels.ndim
        before[axis] = (1, 0)
        alone &= ~np.pad(same, after) & ~np.pad(same, before)
    return alone


def _odd_labels(dataset: Dataset, findings: Findings, are_classes: bool) -> list[str]:
    objects = {i: n for i, n in findings.sizes.items() if i != 0}
    warnings = []
    if not objects:
        return ["no object is annotated"]
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
    if findings.isolated > 0.001:
        warnings.append(
            f"{findings.isolated:.2%} of the labelled voxels have no neighbour of the same id: "
            f"labels that were interpolated or downsampled badly look like that"
        )
    return warnings


def _shift(dataset: Dataset) -> list[str]:
    """Whether label borders lie on raw's membranes or edges rather when moved by some voxels."""
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
    # A membrane has an edge on either side: only a shift that fits one way alone says something.
    if abs(shift) < 2 or best < fit[axis, 0] + 0.05 or best < fit[axis, -shift] + 0.05:
        return []
    return [
        f"labels fit raw better when moved by {shift} voxels along {gt.axis_names[axis]} "
        f"(correlation of borders {best:.2f}, as they are {fit[axis, 0]:.2f}): is the offset right?"
    ]


def _slices(dataset: Dataset) -> str:
    """Three sections, raw beside the labels over raw."""
    from funlib.geometry import Coordinate, Roi

    from dacapo.figures.pictures import overlay

    gt, images = dataset.gt, []
    for share in (0.25, 0.5, 0.75) if gt.dims == 3 else (0.5,):
        begin = Coordinate(int(share * n) if a == 0 and gt.dims == 3 else max(0, (n - 512) // 2)
                           for a, n in enumerate(gt.shape))  # fmt: skip
        shape = Coordinate(1 if a == 0 and gt.dims == 3 else min(n, 512)
                           for a, n in enumerate(gt.shape))  # fmt: skip
        roi = Roi(gt.offset + begin * gt.voxel_size, shape * gt.voxel_size)
        labels = dataset.read_gt(roi).reshape(shape[-2:])
        labels = labels * dataset.read_mask(roi).reshape(shape[-2:]).astype(labels.dtype)
        raw = dataset.read_raw(roi.snap_to_grid(dataset.raw.voxel_size, mode="grow"))[0]
        raw = raw.reshape(raw.shape[-2:]) if raw.shape[0] == 1 or raw.ndim == 2 else raw[0]
        place = [np.arange(n) * r // n for n, r in zip(labels.shape, raw.shape, strict=True)]
        grey = np.repeat(np.clip(raw[np.ix_(*place)], 0, 1)[..., None], 3, axis=-1)
        small = np.unique(labels, return_inverse=True)[1].reshape(labels.shape)
        images += [picture(grey), picture(overlay(grey, small, labels))]
    return "".join(images)


if __name__ == "__main__":
    main()
