"""From files to a plan: look, choose by the rules, measure a step, fill the budget."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from statistics import median
from typing import Any

import torch

from dacapo.arrays.units import from_world
from dacapo.errors import InputError
from dacapo.experiments.datasplits.datasets import Dataset
from dacapo.experiments.datasplits.datasplit import DataSplit
from dacapo.experiments.fit import target_reach
from dacapo.experiments.preflight import preflight
from dacapo.experiments.run_config import RunConfig
from dacapo.planning.device import Device, activation_bytes, step_cost
from dacapo.planning.files import Files
from dacapo.planning.fingerprint import Fingerprint, annotated_box, fingerprint
from dacapo.planning.plan import Effort, Plan, words_of_time
from dacapo.planning.rules import RULES, is_dense

_ENOUGH = 1000
"""Iterations below which a smaller network learns more in the same time."""
_MOST = 100_000
_SLAB = 0.1
_MANY_BLOCKS = 60
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
        keep_empty: an end of a volume without labels is background.
    """

    files: Files
    device: Device
    budget: float
    given: Mapping[str, Any]
    groups: Collection[str]
    keep_empty: bool = False


def draft(request: Request, compose: Callable[[Plan], RunConfig]) -> Plan:
    """Make a plan.

    Args:
        compose: the run that a plan describes.

    Raises:
        InputError: files cannot be read, or what the user has chosen does not fit them.
    """
    files, found, warnings = _look(request.files, request.keep_empty)
    plan = Plan(found, request.device, request.budget, request.given, request.groups)
    plan.warnings = warnings
    _check_given(plan, files, compose)
    large = _EFFORTS["large gpu"] if request.device.memory >= _LARGE else ()
    for effort in (*large, *_EFFORTS[plan.kind]):
        plan.effort = effort
        plan.choices.clear()
        _add_files(plan, files)
        plan.apply(RULES)
        plan.set("num_iterations", _ENOUGH, "")
        plan.set("validation_interval", _ENOUGH, "")
        short_of = _shortage(plan, compose)
        if not short_of:
            break
    else:
        plan.warnings.append(_too_little(plan, short_of))
    plan.apply(())  # what the user has given stays
    return plan


def _check_given(plan: Plan, files: Files, compose: Callable[[Plan], RunConfig]) -> None:
    """Refuse values that do not fit their keys, before rules use them.

    They are composed with the options that rules choose, and with nothing else of theirs.
    """
    decisive = (*plan.groups, "task.classes")
    bare = replace(plan, given={k: v for k, v in plan.given.items() if k in decisive})
    bare.choices = {}
    _add_files(bare, files)
    bare.apply(RULES)
    needed = ("datasplit.", "task.classes", "architecture.fmaps_in")
    bare.choices = {
        key: choice for key, choice in bare.choices.items()
        if choice.is_group or key.startswith(needed)
    }  # fmt: skip
    shares = [f"datasplit.{part}" for part in ("train", "validate", "test")]
    if plan.found.num_volumes == 1:  # rules make them add up
        _check_shares({key: plan.given[key] for key in shares if key in plan.given})
        bare.given = {key: v for key, v in plan.given.items() if key not in shares}
    else:
        bare.given = plan.given
    bare.apply(())
    compose(bare)


def _check_shares(shares: Mapping[str, Any]) -> None:
    total = 0.0
    for key, share in shares.items():
        if not isinstance(share, int | float) or not 0 <= share < 1:
            share = "null" if share is None else share
            raise InputError(f"{key}={share}: give a share of the volume, such as 0.2")
        total += share
    if total >= 1 and len(shares) < 3:
        given = " ".join(f"{key}={share}" for key, share in shares.items())
        raise InputError(f"{given}: nothing is left for the other parts")


def _too_little(plan: Plan, short_of: str) -> str:
    """What a plan lacks that is the least that is tried."""
    if short_of == "memory":
        return f"{plan.device.name} may not hold the smallest network that is tried"
    return (
        f"{words_of_time(plan.budget)} are few for these data: the smallest network that is tried "
        f"trains for {plan['num_iterations']:,} iterations"
    )


def _look(files: Files, keep_empty: bool) -> tuple[Files, Fingerprint, list[str]]:
    """The files, without what is presumably not annotated; what they hold; and warnings."""
    from dacapo.experiments.datasplits.findings import inspect_labels, unused_ignore_label

    datasets = files.open()
    _check_alike(datasets)
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
    if not found.ids and found.is_sampled:
        found = fingerprint(datasets, _MANY_BLOCKS)
    if not found.ids:
        seen = f" in the {_MANY_BLOCKS} blocks that were looked at" if found.is_sampled else ""
        raise InputError(
            f"{datasets[0].gt.name} is 0 wherever it is annotated{seen}: no object is labelled"
        )
    if min(found.ids) < 0 and "ignore_label" not in files.common:
        raise InputError(
            f"{datasets[0].gt.name} has negative ids, {min(found.ids)}: if they mean not "
            f"annotated, give ignore_label={min(found.ids)}"
        )
    is_empty = found.empty is not None and not files.region and len(datasets) == 1
    if (
        is_empty
        and not keep_empty
        and found.empty is not None
        and _is_unannotated(found, found.empty)
    ):
        axis, begin, end = found.empty
        ends = (0, begin) if begin else (end, found.shape[axis])
        files = files.within(datasets[0], {axis: ends})
        datasets = [_within(files, datasets[0])]
        found = fingerprint(datasets)
        warnings.append(
            f"labels are 0 beyond {_words(files, datasets[0])}, and objects are dense elsewhere: "
            f"taken for not annotated, and left out. If it is background, give keep_empty=true"
        )
    classes = {} if len(found.ids) > 1 and found.pieces < 3 else {"all": list(found.ids)}
    for dataset in datasets:
        warnings += [f"{dataset.name}: {w}" for w in inspect_labels(dataset, classes).warnings]
    warnings += unused_ignore_label(datasets)
    return files, found, warnings


def _check_alike(datasets: Sequence[Dataset]) -> None:
    """Refuse volumes that one network cannot be planned for."""
    first = datasets[0]
    for other in datasets[1:]:
        if other.raw.dims != first.raw.dims:
            raise InputError(
                f"{first.raw.name} has {first.raw.dims} axes and {other.raw.name} "
                f"{other.raw.dims}: plan for one kind at a time"
            )
        if other.raw.unit != first.raw.unit:
            raise InputError(
                f"{first.raw.name} is measured in {first.raw.unit} and {other.raw.name} in "
                f"{other.raw.unit}: give voxel_size= and unit=, or convert one of them"
            )


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
        if key == "datasplit.arrays" and files.region:
            reason = "the part of the volume that is annotated"
        if key == "datasplit.resample":
            reason = "the median voxel size of the volumes, as one network works at one size"
        plan.set(key, value, reason)


def _widen_gap(
    plan: Plan, compose: Callable[[Plan], RunConfig], run_config: RunConfig, datasplit: DataSplit
) -> bool:
    """Widen the gap between the parts of a volume if targets reach further, those of the other task
    that the project names included; whether they do."""
    if plan["datasplit"] != "regions" or "datasplit.buffer" in plan.given:
        return False
    tasks = [run_config.task_config]
    if plan.alternative is not None and "task" not in plan.given:
        other = {k: c for k, c in plan.choices.items() if not k.startswith("task.")}
        other["task"] = replace(plan.choices["task"], value=plan.alternative)
        tasks.append(compose(replace(plan, choices=other)).task_config)
    gt = datasplit.train[0].gt
    axis = "zyx".index(plan["datasplit.axis"]) - 3
    widths = [
        from_world(target_reach(task.build().predictor, gt.voxel_size), gt.unit)[axis]
        for task in tasks
    ]
    if max(widths) <= plan["datasplit.buffer"]:
        return False
    names = " and ".join([plan["task"], str(plan.alternative)][: len(tasks)])
    plan.set("datasplit.buffer", float(max(widths)), f"as far as targets of {names} reach")
    return True


def _shortage(plan: Plan, compose: Callable[[Plan], RunConfig]) -> str:
    """Set how long to train; memory or time if that does not suffice."""
    run_config = compose(plan)
    datasplit = preflight(run_config)
    if _widen_gap(plan, compose, run_config, datasplit):
        run_config = compose(plan)
        datasplit = preflight(run_config)
    if not plan.device.is_here:
        plan.set(
            "num_iterations",
            _UNMEASURED,
            f"not measured, as {plan.device.name} is not here: set it by the rate of a first run",
        )
        plan.set("validation_interval", _UNMEASURED // 5, "five validations")
        needed = activation_bytes(run_config, datasplit)
        return "memory" if needed > _USABLE * plan.device.memory else ""
    try:
        step, learnt_from = step_cost(run_config, datasplit)
    except torch.OutOfMemoryError:
        return "memory"
    voxels = sum(prod(dataset.gt.shape) for dataset in datasplit.validate)
    validation = voxels * (_SLOW if str(plan["task"]).startswith("affinities") else _FAST)
    validation += step / 3 * voxels / learnt_from  # a step also goes backwards
    available = _FOR_TRAINING * plan.budget
    num = 5 if 5 * validation < 0.3 * available else 2
    iterations = _rounded((available - num * validation) / step)
    plan.set(
        "num_iterations",
        iterations,
        f"{words_of_time(plan.budget)} at {step:.3g} s a step on {plan.device.name}, and {num} "
        f"validations of some {validation:.0f} s",
    )
    plan.set("validation_interval", max(1, iterations // num), f"{num} validations")
    return "time" if iterations < _ENOUGH else ""


def _rounded(number: float) -> int:
    """Two digits, and neither less than 100 nor more than is useful.

    >>> _rounded(1234.5), _rounded(7), _rounded(1e7)
    (1200, 100, 100000)
    """
    return int(float(f"{min(max(number, 100), _MOST):.2g}"))
