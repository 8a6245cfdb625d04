"""From files to a plan: look, choose by the rules, measure a step, fill the budget."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from math import prod
from statistics import median
from typing import Any

import torch

from dacapo.arrays.units import from_world
from dacapo.errors import InputError
from dacapo.experiments.datasplits.datasplit import DataSplit
from dacapo.experiments.fit import target_reach
from dacapo.experiments.preflight import preflight
from dacapo.experiments.run_config import RunConfig
from dacapo.planning.device import Device, activation_bytes, step_cost
from dacapo.planning.files import Files
from dacapo.planning.fingerprint import Fingerprint, annotated_box, fingerprint
from dacapo.planning.plan import Effort, Plan
from dacapo.planning.rules import RULES, is_dense

_ENOUGH = 1000
"""Iterations below which a smaller network learns more in the same time."""
_MOST = 100_000
_SLAB = 0.1
_EFFORTS = {
    "cpu": (Effort(1, 1), Effort(2 / 3, 1), Effort(1 / 2, 1)),
    "gpu": (Effort(1, 1), Effort(1, 1 / 2), Effort(1 / 2, 1 / 2), Effort(1 / 2, 1 / 4)),
    "large gpu": (Effort(4 / 3, 3 / 2),),
}
"""What is tried, from the most. With valid padding a smaller crop has far fewer voxels to learn
from, so only memory is a reason for one."""
_LARGE = 24 * 2**30
_FOR_TRAINING = 0.9
"""Share of the budget; the rest is for starting and pictures."""
_USABLE = 0.7
"""Share of a GPU's memory that a plan counts on."""
_UNMEASURED = 20_000
_FAST = 2e-6
_SLOW = 6e-6
"""Seconds per voxel for making segments with all parameters: of a watershed, and of affinities."""


@dataclass(frozen=True)
class Request:
    """What a plan is asked for.

    Attributes:
        files: the volumes.
        device: what will train.
        budget: seconds that a run may take.
        given: key -> value that the user has chosen.
        groups: keys of which the value is the name of an option, or a list of names.
    """

    files: Files
    device: Device
    budget: float
    given: Mapping[str, Any]
    groups: Collection[str]


def draft(request: Request, compose: Callable[[Plan], RunConfig]) -> Plan:
    """Make a plan.

    Args:
        compose: the run that a plan describes.

    Raises:
        InputError: files cannot be read, or what the user has chosen does not fit them.
    """
    files, found, warnings = _look(request.files)
    plan = Plan(found, request.device, request.budget, request.given, request.groups)
    plan.warnings = warnings
    large = _EFFORTS["large gpu"] if request.device.memory >= _LARGE else ()
    for effort in (*large, *_EFFORTS[plan.kind]):
        plan.effort = effort
        plan.choices.clear()
        _add_files(plan, files)
        plan.apply(RULES)
        plan.set("num_iterations", _ENOUGH, "")
        plan.set("validation_interval", _ENOUGH, "")
        if _fits(plan, compose):
            break
    plan.apply(())  # what the user has given stays
    return plan


def _look(files: Files) -> tuple[Files, Fingerprint, list[str]]:
    """The files, without what is presumably not annotated; what they hold; and warnings."""
    from dacapo.experiments.datasplits.findings import inspect_labels

    datasets = files.open()
    sizes = [from_world(dataset.raw.voxel_size, dataset.raw.unit) for dataset in datasets]
    if any(size != sizes[0] for size in sizes) and "resample" not in files.common:
        size = [float(f"{median(lengths):.4g}") for lengths in zip(*sizes, strict=True)]
        files = replace(files, common={**files.common, "resample": size})
        datasets = files.open()
    warnings = []
    if len(datasets) == 1 and (kept := annotated_box(datasets[0])):
        files = files.within(datasets[0], kept)
        datasets = [_within(files, datasets[0])]
        warnings.append(f"nothing is annotated beyond {_words(files, datasets[0])}: left out")
    found = fingerprint(datasets)
    if not found.ids:
        raise InputError(
            f"{datasets[0].gt.name} is 0 wherever it is annotated: no object is labelled"
        )
    is_empty = found.empty is not None and not files.region and len(datasets) == 1
    if is_empty and found.empty is not None and _is_unannotated(found, found.empty):
        axis, begin, end = found.empty
        ends = (0, begin) if begin else (end, found.shape[axis])
        files = files.within(datasets[0], {axis: ends})
        datasets = [_within(files, datasets[0])]
        found = fingerprint(datasets)
        warnings.append(
            f"labels are 0 beyond {_words(files, datasets[0])}, and objects are dense elsewhere: "
            f"taken for not annotated, and left out. If it is background, give "
            f"datasplit.gt={files.labels[0]}"
        )
    if is_dense(found) and found.labelled < 0.9:
        warnings.append(
            f"objects are dense, but {1 - found.labelled:.0%} of the voxels have the label 0, and "
            f"the network will learn that they are background: if they are not annotated, give "
            f"ignore_label=0 or mask=FILE"
        )
    classes = {} if len(found.ids) > 1 and found.pieces < 3 else {"all": list(found.ids)}
    for dataset in datasets:
        warnings += [f"{dataset.name}: {w}" for w in inspect_labels(dataset, classes).warnings]
    return files, found, warnings


def _is_unannotated(found: Fingerprint, empty: tuple[int, int, int]) -> bool:
    """Whether an end of a volume without labels is too large to be background among its objects."""
    axis, begin, end = empty
    return is_dense(found) and end - begin >= _SLAB * found.shape[axis]


def _words(files: Files, dataset: Any) -> str:
    """The region of the labels."""
    bounds = (f"{axis} = {low:g} to {high:g}" for axis, (low, high) in files.region.items())
    return f"{', '.join(bounds)} {dataset.gt.unit}"


def _within(files: Files, dataset: Any) -> Any:
    from dacapo.experiments.datasplits.array_opener import in_region
    from dacapo.experiments.datasplits.volume_config import RegionConfig

    region = RegionConfig(snap=True, **files.region)
    return replace(dataset, gt=in_region(dataset.gt, region, "labels"))


def _add_files(plan: Plan, files: Files) -> None:
    num = plan.found.num_volumes
    test = max(1, num // 6) if num >= 5 else 0
    for key, value in files.options(max(1, num // 4), test).items():
        is_part = key.split(".")[1] in ("train", "validate", "test")
        reason = "whole volumes, in the order in which they were given" if is_part else ""
        if key == "datasplit.resample":
            reason = "the median voxel size of the volumes, as one network works at one size"
        plan.set(key, value, reason)


def _widen_gap(plan: Plan, run_config: RunConfig, datasplit: DataSplit) -> bool:
    """Widen the gap between the parts of a volume if targets reach further; whether they do."""
    if plan["datasplit"] != "regions" or "datasplit.buffer" in plan.given:
        return False
    gt = datasplit.train[0].gt
    reach = target_reach(run_config.task_config.build().predictor, gt.voxel_size)
    width = from_world(reach, gt.unit)["zyx".index(plan["datasplit.axis"]) - 3]
    if width <= plan["datasplit.buffer"]:
        return False
    plan.set("datasplit.buffer", float(width), "as far as the targets of this task reach")
    return True


def _fits(plan: Plan, compose: Callable[[Plan], RunConfig]) -> bool:
    """Set how long to train; whether budget and memory suffice for that."""
    run_config = compose(plan)
    datasplit = preflight(run_config)
    if _widen_gap(plan, run_config, datasplit):
        run_config = compose(plan)
        datasplit = preflight(run_config)
    if not plan.device.is_here:
        plan.set(
            "num_iterations",
            _UNMEASURED,
            f"not measured, as {plan.device.name} is not here: set it by the rate of a first run",
        )
        plan.set("validation_interval", _UNMEASURED // 5, "five validations")
        return activation_bytes(run_config, datasplit) <= _USABLE * plan.device.memory
    try:
        step, learnt_from = step_cost(run_config, datasplit)
    except torch.OutOfMemoryError:
        return False
    voxels = sum(prod(dataset.gt.shape) for dataset in datasplit.validate)
    validation = voxels * (_SLOW if str(plan["task"]).startswith("affinities") else _FAST)
    validation += step / 3 * voxels / learnt_from  # a step also goes backwards
    available = _FOR_TRAINING * plan.budget
    num = 5 if 5 * validation < 0.3 * available else 2
    iterations = _rounded((available - num * validation) / step)
    plan.set(
        "num_iterations",
        iterations,
        f"{plan.budget / 60:g} minutes at {step:.3g} s a step on {plan.device.name}, and {num} "
        f"validations of some {validation:.0f} s",
    )
    plan.set("validation_interval", max(1, iterations // num), f"{num} validations")
    return iterations >= _ENOUGH


def _rounded(number: float) -> int:
    """Two digits, and neither less than 100 nor more than is useful.

    >>> _rounded(1234.5), _rounded(7), _rounded(1e7)
    (1200, 100, 100000)
    """
    return int(float(f"{min(max(number, 100), _MOST):.2g}"))
