"""A plan as a folder: an experiment with its reasons, a script, a loss, a preset for a cluster."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jinja2
import yaml

from dacapo.planning.plan import Choice, Plan, counted, words_of_time
from dacapo.processes.files import write_atomically

_OWN_FILES = ("task", "architecture")
_SECTIONS = ("task", "architecture", "datasplit", "trainer")
_LOSSES = {"one_hot": "ClassLoss", "boundary": "MaskLoss", "affinities": "ProbabilityLoss",
           "affinities_2d": "ProbabilityLoss", "affinities_lsds": "ProbabilityLoss"}  # fmt: skip
_TEMPLATES = {
    "README.md": "README.md",
    "train.py": "train.py",
    "my_loss.py": "my_loss.py",
    "my_loss.yaml": "conf/task/loss/my_loss.yaml",
    "cluster.yaml": "conf/hydra/launcher/cluster.yaml",
}


def write_project(folder: Path, name: str, plan: Plan) -> None:
    """Write the files of a project.

    Args:
        folder: where to write them.
        name: of the experiment.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("dacapo.planning", "templates"),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # these are texts for people and Python, not HTML
    )
    texts = config_files(name, plan)
    values = {
        "name": name,
        "loss": _LOSSES.get(plan["task"], "RegressionLoss"),
        "minutes": max(30, round(plan.budget / 60 * 2)),
        "gpus": int(plan.device.is_gpu),
        "data": describe(plan),
        "size": _given_size(plan),
        "warnings": plan.warnings,
        "sweep": _sweep(name, plan),
    }
    for template, path in _TEMPLATES.items():
        texts[path] = environment.get_template(f"{template}.j2").render(values)
    for path, text in texts.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / path, text.encode())


def _sweep(name: str, plan: Plan) -> str:
    """What to compare the plan with."""
    if plan["task"] == "one_hot":
        return "task.loss.dice=0,1   # with and without a second loss"
    if plan.alternative is None or "task" in plan.given:
        return "trainer.learning_rate=0.001,0.0005   # another learning rate"
    own = f"{plan['task']}_{name}" if _has_own_file("task", plan) else plan["task"]
    return f"task={own},{plan.alternative}   # another task beside it"


def _has_own_file(group: str, plan: Plan) -> bool:
    return any(not c.is_group and _part(c.key) == group for c in plan.choices.values())


def config_files(name: str, plan: Plan) -> dict[str, str]:
    """Path in the folder -> yaml: the choices of a plan, with the reasons as comments.

    Options of the task and of the network become options of their groups, so that a sweep can put
    others in their place, which have other keys: `-m task=affinities_mine,distance`.
    """
    parts: dict[str, list[Choice]] = {}
    for choice in sorted(plan.choices.values(), key=lambda c: _section(c.key)):
        parts.setdefault("" if choice.is_group else _part(choice.key), []).append(choice)
    options = {group: f"{plan[group]}_{name}" for group in _OWN_FILES if group in parts}
    files = {}
    for group, option in options.items():
        lines = [f"defaults: [{plan[group]}, _self_]", *_tree(parts.pop(group), f"{group}.")]
        files[f"conf/{group}/{option}.yaml"] = "\n".join(lines) + "\n"
    lines = ["# @package _global_", *_comment(describe(plan), ""), "defaults:"]
    for choice in parts.pop(""):
        lines += _comment(_reason(choice), "  ")
        lines.append(f"  - override /{choice.key}: {options.get(choice.key, _flow(choice.value))}")
    lines += _tree(parts.pop("experiment"), "")
    files[f"conf/experiment/{name}.yaml"] = "\n".join(lines) + "\n"
    return files


def _given_size(plan: Plan) -> str:
    """The voxel size as arguments, if files do not tell it."""
    keys = {"voxel_size": "datasplit.voxel_size", "unit": "datasplit.unit"}
    values = {name: plan.get(key) for name, key in keys.items()}
    return "".join(f" {k}={_flow(v).replace(' ', '')}" for k, v in values.items() if v is not None)


def _part(key: str) -> str:
    """The group whose file holds a choice, or experiment.

    How results are scored holds for every task that is put in the place of the plan's.
    """
    group = key.partition(".")[0]
    is_own = group in _OWN_FILES and key not in ("task.criterion", "task.ignore_smaller")
    return group if is_own else "experiment"


def _tree(choices: Iterable[Choice], prefix: str) -> list[str]:
    """Choices as nested yaml, each with its reason."""
    tree: dict[str, Any] = {}
    for choice in choices:
        node = tree
        *path, last = choice.key.removeprefix(prefix).split(".")
        for part in path:
            node = node.setdefault(part, {})
        node[last] = choice
    return [line for key, node in tree.items() for line in ("", *_lines(key, node, ""))]


def describe(plan: Plan) -> str:
    """The data and the device in a sentence or two."""
    found = plan.found
    size = "x".join(f"{s:g}" for s in found.raw_voxel_size)
    shape = "x".join(map(str, found.shape))
    volumes = "" if found.num_volumes == 1 else f"{found.num_volumes} volumes of at least "
    held = counted(len(found.ids), "id")
    if found.pieces < 3:
        held = counted(found.num_objects, "object")
        if found.num_fragments:
            held += f" and {counted(found.num_fragments, 'fragment')}"
    annotated = "" if found.annotated > 0.995 else f"{found.annotated:.0%} of it annotated, "
    return (
        f"{volumes}{shape} voxels of {size} {found.unit}, {annotated}{held}, {found.labelled:.0%} "
        f"of the annotated voxels labelled. Planned for {plan.device.name} and "
        f"{words_of_time(plan.budget)} a run."
    )


def _lines(key: str, node: Choice | Mapping[str, Any], indent: str) -> Iterator[str]:
    if isinstance(node, Choice):
        yield from _comment(_reason(node), indent)
        yield f"{indent}{key}: {_flow(node.value)}"
        return
    yield f"{indent}{key}:"
    for name, inner in node.items():
        yield from _lines(name, inner, indent + "  ")


def _reason(choice: Choice) -> str:
    return choice.reason + (f" [{choice.source}]" if choice.source else "")


def _comment(text: str, indent: str, mark: str = "# ", width: int = 100) -> list[str]:
    prefix = f"{indent}{mark}"
    return textwrap.wrap(
        text, width, initial_indent=prefix, subsequent_indent=prefix, break_long_words=False
    )


def _flow(value: Any) -> str:
    text: str = yaml.safe_dump(value, default_flow_style=True, width=10**6, sort_keys=False)
    return text.removesuffix("...\n").strip()


def _section(key: str) -> int:
    section = key.partition(".")[0]
    return _SECTIONS.index(section) if section in _SECTIONS else len(_SECTIONS)


def show_plan(plan: Plan) -> None:
    """Print the choices with their reasons, and the warnings."""
    from dacapo.training.terminal import console

    print(textwrap.fill(describe(plan), console.width))
    for choice in plan.choices.values():
        print(f"\n{choice.key}={_flow(choice.value)}")
        if choice.reason:
            print("\n".join(_comment(_reason(choice), "  ", "", console.width)))
    for warning in plan.warnings:
        print("\n" + textwrap.fill(f"warning: {warning}", console.width))
