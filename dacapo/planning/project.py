"""A plan as a folder: an experiment with its reasons, a script, a loss, a preset for a cluster."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jinja2
import yaml

from dacapo.planning.plan import Choice, Plan
from dacapo.processes.files import write_atomically

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
    texts = {f"conf/experiment/{name}.yaml": experiment_yaml(name, plan)}
    values = {
        "name": name,
        "loss": _LOSSES.get(plan["task"], "RegressionLoss"),
        "minutes": max(30, round(plan.budget / 60 * 2)),
        "gpus": int(plan.device.is_gpu),
        "data": describe(plan),
    }
    for template, path in _TEMPLATES.items():
        texts[path] = environment.get_template(f"{template}.j2").render(values)
    for path, text in texts.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / path, text.encode())


def experiment_yaml(name: str, plan: Plan) -> str:
    """The choices of a plan as an experiment, with the reasons as comments."""
    chosen = list(plan.choices.values())
    lines = ["# @package _global_", *_comment(describe(plan), ""), "defaults:"]
    for choice in chosen:
        if choice.is_group:
            lines += _comment(_reason(choice), "  ")
            lines.append(f"  - override /{choice.key}: {_flow(choice.value)}")
    tree: dict[str, Any] = {}
    for choice in sorted(chosen, key=lambda c: _section(c.key)):
        node = tree
        *path, last = ("", choice.key) if choice.is_group else choice.key.split(".")
        for part in path:
            node = node.setdefault(part, {})
        node[last] = choice
    tree.pop("", None)
    for key, node in tree.items():
        lines += ["", *_lines(key, node, "")]
    return "\n".join(lines) + "\n"


def describe(plan: Plan) -> str:
    """The data and the device in a sentence or two."""
    found = plan.found
    size = "x".join(f"{s:g}" for s in found.raw_voxel_size)
    shape = "x".join(map(str, found.shape))
    volumes = "" if found.num_volumes == 1 else f"{found.num_volumes} volumes, the smallest of "
    held = f"{len(found.sizes)} objects" if found.pieces < 3 else f"{len(found.ids)} ids"
    return (
        f"{volumes}{shape} voxels of {size} {found.unit}, {held}, {found.labelled:.0%} "
        f"of the annotated voxels labelled. Planned for {plan.device.name} and "
        f"{plan.budget / 60:g} minutes a run."
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
